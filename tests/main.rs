//! The snapshot tests: what a reader types and sees, step by step, and what an attacker gets.
//!
//! `cargo test` builds the binaries and makes the root filesystem by itself. A changed snapshot is
//! reviewed with `cargo insta review`.

mod attacks;
mod book;
mod book_appendices;
mod book_browser;
mod book_chapters;
mod cgroup_v2;
mod doctor;
mod endurance;
mod engine;
mod engine_bad_input;
mod engine_trace;
mod engine_walk;
mod errors;
mod exercises;
mod harness;
mod rootfs_scripts;

mod step01_chroot;
mod step02_unshare;
mod step03_pid_ns;
mod step04_mount_ns;
mod step05_cgroups;
mod step06_overlayfs;
mod step07_veth_bridge;
mod step08_image_layers;

mod workshop;

use std::process::ExitCode;

use harness::Test;

fn main() -> ExitCode {
    harness::run(&all())
}

/// Every test there is.
fn all() -> Vec<Test> {
    let mut tests = fixed();
    tests.extend(exercises::tests());
    tests
}

fn fixed() -> Vec<Test> {
    [
        step01_chroot::TESTS,
        step02_unshare::TESTS,
        step03_pid_ns::TESTS,
        step04_mount_ns::TESTS,
        step05_cgroups::TESTS,
        cgroup_v2::TESTS,
        step06_overlayfs::TESTS,
        step07_veth_bridge::TESTS,
        step08_image_layers::TESTS,
        engine::TESTS,
        engine_walk::TESTS,
        engine_trace::TESTS,
        engine_bad_input::TESTS,
        endurance::TESTS,
        errors::TESTS,
        attacks::TESTS,
        book::TESTS,
        book_chapters::TESTS,
        book_appendices::TESTS,
        book_browser::TESTS,
        workshop::TESTS,
        doctor::TESTS,
        rootfs_scripts::TESTS,
    ]
    .concat()
}
