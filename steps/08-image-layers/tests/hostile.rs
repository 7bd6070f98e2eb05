//! Layers that try to get out, or to do harm. Each is made by hand; see `common`.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;

use common::{Lab, Tar, gzip};
use image_layers::Limits;
use tar::EntryType;

#[track_caller]
fn refused(result: Result<image_layers::Skipped, String>, why: &str) {
    let sentence = result.expect_err("this layer should be refused");
    assert!(sentence.contains(why), "{sentence}");
}

#[test]
fn names_with_dots_lead_nowhere() {
    for name in ["../outside/canary", "a/../../outside/canary", "..", "a/..", "/../outside/canary"]
    {
        refused(Lab::new().apply(Tar::default().file(name, "dead")), "leads out of the image");
        refused(Lab::new().apply(Tar::default().symlink(name, "x")), "leads out of the image");
    }
}

#[test]
fn an_absolute_name_starts_at_the_root_of_the_image() {
    let lab = Lab::new();
    lab.apply(Tar::default().file("/etc/passwd", "in the image").file("//x", "too")).unwrap();
    assert_eq!(lab.read("etc/passwd"), "in the image");
    assert_eq!(lab.read("x"), "too");
}

#[test]
fn a_link_that_points_out_is_followed_inside() {
    let lab = Lab::new();
    let outside = lab.outside.to_str().unwrap();
    let tar = Tar::default().symlink("lib", outside).file("lib/canary", "dead");
    lab.apply(tar).unwrap();
    assert_eq!(lab.read(&format!("{}/canary", &outside[1..])), "dead");

    let lab = Lab::new();
    lab.apply(Tar::default().symlink("up", "../../outside").file("up/canary", "dead")).unwrap();
    assert_eq!(lab.read("outside/canary"), "dead");
}

#[test]
fn a_usual_link_to_a_folder_is_followed_too() {
    let lab = Lab::new();
    let tar = Tar::default().dir("usr/lib").symlink("lib", "usr/lib").symlink("lib64", "/lib");
    lab.apply(tar.file("lib64/libc.so", "code")).unwrap();
    assert_eq!(lab.read("usr/lib/libc.so"), "code");
    assert!(lab.root.join("lib").is_symlink());
}

#[test]
fn nothing_is_written_through_a_link() {
    let lab = Lab::new();
    let canary = lab.outside.join("canary");
    let tar = Tar::default().symlink("x", canary.to_str().unwrap()).file("x", "dead");
    lab.apply(tar).unwrap();
    assert_eq!(lab.read("x"), "dead");
    assert!(!lab.root.join("x").is_symlink());

    // The same with the folder's mode and owner instead of a file's content.
    let lab = Lab::new();
    let mode = fs::metadata(&lab.outside).unwrap().mode();
    let tar = Tar::default().symlink("x", lab.outside.to_str().unwrap());
    lab.apply(tar.entry(EntryType::Directory, "x", "", b"", |header| header.set_mode(0o777)))
        .unwrap();
    assert!(lab.root.join("x").is_dir() && !lab.root.join("x").is_symlink());
    assert_eq!(fs::metadata(&lab.outside).unwrap().mode(), mode);
}

#[test]
fn a_hard_link_stays_inside() {
    let lab = Lab::new();
    let canary = lab.outside.join("canary");
    let canary = canary.to_str().unwrap();
    refused(lab.apply(Tar::default().link("x", canary)), "there is no");
    refused(lab.apply(Tar::default().link("x", "../outside/canary")), "leads out of the image");
    let through = Tar::default().symlink("o", lab.outside.to_str().unwrap()).link("x", "o/canary");
    refused(lab.apply(through), "there is no");
    // A hard link to a link is that link, not what it points at.
    let through = Tar::default().symlink("s", canary).link("x", "s").file("x", "dead");
    lab.apply(through).unwrap();
    assert_eq!(lab.read("x"), "dead");
}

#[test]
fn a_hard_link_to_itself_or_to_what_it_replaces_does_no_harm() {
    let lab = Lab::new();
    lab.apply(Tar::default().file("x", "kept").link("x", "./x")).unwrap();
    assert_eq!(lab.read("x"), "kept");
    refused(lab.apply(Tar::default().file("d/x", "").link("d", "d/x")), "unpack 'd'");
    refused(lab.apply(Tar::default().dir("e").link("f", "e")), "Operation not permitted");
}

#[test]
fn files_and_folders_replace_each_other() {
    let lab = Lab::new();
    lab.apply(Tar::default().file("a/b/c", "old").file("f", "old")).unwrap();
    lab.apply(Tar::default().file("a", "new").file("f/g", "new")).unwrap();
    assert_eq!(lab.read("a"), "new");
    assert_eq!(lab.read("f/g"), "new");
    // And within one layer.
    lab.apply(Tar::default().file("x/y", "").file("x", "file").dir("z").symlink("z", "x")).unwrap();
    assert_eq!(lab.read("x"), "file");
    assert!(lab.root.join("z").is_symlink());
}

#[test]
fn the_root_is_a_folder_and_stays_one() {
    let lab = Lab::new();
    refused(lab.apply(Tar::default().symlink("./", "/etc")), "root folder");
    refused(lab.apply(Tar::default().link("/", "/etc")), "root folder");
    lab.apply(Tar::default().entry(EntryType::Directory, "./", "", b"", |it| it.set_mode(0o711)))
        .unwrap();
    assert_eq!(fs::metadata(&lab.root).unwrap().mode() & 0o777, 0o711);
}

#[test]
fn links_in_a_circle_are_an_error() {
    let tar = Tar::default().symlink("a", "b").symlink("b", "a").file("a/x", "");
    refused(Lab::new().apply(tar), "too many symbolic links");
}

#[test]
fn a_tree_is_not_deeper_than_it_may_be() {
    let deep = |levels: usize| ["d"].repeat(levels).join("/");
    refused(Lab::new().apply(Tar::default().file(&deep(10_000), "")), "folders deep");
    // Short names that lead deeper and deeper.
    let tar = Tar::default().dir(&deep(400)).symlink("s", &deep(400));
    refused(Lab::new().apply(tar.file(&format!("s/{}", deep(400)), "")), "folders deep");
    let lab = Lab::new();
    lab.apply(Tar::default().file(&deep(500), "there")).unwrap();
    lab.apply(Tar::default().whiteout(".wh.d")).unwrap();
    assert!(lab.tree().is_empty());
}

#[test]
fn a_name_may_be_long_but_not_too_long() {
    let name = "n".repeat(255);
    let lab = Lab::new();
    lab.apply(Tar::default().file(&format!("d/{name}"), "x").symlink("s", &"t/".repeat(100)))
        .unwrap();
    assert_eq!(lab.read(&format!("d/{name}")), "x");
    refused(Lab::new().apply(Tar::default().file(&"n".repeat(300), "")), "File name too long");
}

#[test]
fn a_size_that_lies_is_noticed() {
    for size in [1 << 20, u64::MAX / 2, u64::MAX] {
        let file = |header: &mut tar::Header| header.set_size(size);
        let tar = Tar::default().entry(EntryType::Regular, "x", "", b"short", file);
        refused(Lab::new().apply(tar), if size > 1 << 30 { "limit" } else { "cut off" });
        let tar = Tar::default().pax(&[("size", size.to_string().as_bytes())]).file("x", "short");
        refused(Lab::new().apply(tar), if size > 1 << 30 { "limit" } else { "cut off" });
    }
    // A folder has no content, whatever its header says: the next header follows.
    let lab = Lab::new();
    let dir = |header: &mut tar::Header| header.set_size(4096);
    lab.apply(Tar::default().entry(EntryType::Directory, "d", "", b"", dir).file("x", "here"))
        .unwrap();
    assert_eq!(lab.read("x"), "here");
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let limits = Limits { bytes: 1 << 20, entries: 100 };
    let lab = Lab::new();
    let big = gzip(&Tar::default().file("zeros", &"\0".repeat(64 << 20)).finish());
    assert!(big.len() < 1 << 20);
    refused(lab.apply_bytes(&big, limits), "more bytes than the limit");
    let many = (0..200).fold(Tar::default(), |tar, number| tar.file(&number.to_string(), ""));
    refused(lab.apply_bytes(&many.finish(), limits), "more entries than the limit");
    let mut endless = Tar::default().finish();
    endless.resize(8 << 20, 0);
    refused(lab.apply_bytes(&gzip(&endless), limits), "no end");
    assert!(lab.tree().is_empty(), "a refused layer leaves nothing");

    // Holes count as well; and no header may fill the memory.
    let sparse = Tar::default()
        .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"999999999999999999")]);
    refused(lab.apply(sparse.file("x", &format!("{:<512}", "0\n"))), "limit");
    let name = "n/".repeat(1 << 20);
    refused(lab.apply(Tar::default().file(&name, "")), "too large");
}

#[test]
fn whiteouts_cannot_reach_out() {
    for name in [".wh...", "a/.wh...", ".wh..", ".wh."] {
        refused(Lab::new().apply(Tar::default().dir("a").whiteout(name)), "without a name");
    }
    refused(Lab::new().apply(Tar::default().whiteout("../outside/.wh.canary")), "leads out");
    for whiteout in ["o/.wh.canary", "o/.wh..wh..opq", "up/.wh.outside"] {
        let lab = Lab::new();
        let links = Tar::default().symlink("o", lab.outside.to_str().unwrap()).symlink("up", "..");
        lab.apply(links).unwrap();
        lab.apply(Tar::default().whiteout(whiteout)).unwrap();
    }
    // A whiteout removes a link, not what it points at.
    let lab = Lab::new();
    lab.apply(Tar::default().symlink("o", lab.outside.to_str().unwrap())).unwrap();
    lab.apply(Tar::default().whiteout(".wh.o")).unwrap();
    assert!(lab.tree().is_empty());
}

#[test]
fn devices_need_privileges_and_a_whiteout_is_none() {
    let device = |kind, major, minor| {
        Tar::default().entry(kind, "null", "", b"", |header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        })
    };
    refused(Lab::new().apply(device(EntryType::Char, 0, 0)), "no device 0:0");
    let lab = Lab::new();
    let skipped = lab.apply(device(EntryType::Char, 1, 3)).unwrap();
    assert_eq!(lab.root.join("null").exists(), skipped.devices == 0);
}

#[test]
fn overlayfs_marks_do_not_come_in_with_a_layer() {
    let lab = Lab::new();
    let tar = Tar::default().pax(&[
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.user.note", b"binary \n\0 kept"),
    ]);
    let skipped = lab.apply(tar.dir("d")).unwrap();
    let names: Vec<_> = xattr::list(lab.root.join("d")).unwrap().collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("overlay")), "{names:?}");
    if skipped.xattrs == 0 {
        let value = xattr::get(lab.root.join("d"), "user.note").unwrap().unwrap();
        assert_eq!(value, b"binary \n\0 kept");
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    let unknown = Tar::default().entry(EntryType::new(b'M'), "x", "", b"", |_| ());
    refused(Lab::new().apply(unknown), "'x' is an entry of the unknown type 'M'");
    refused(Lab::new().apply_bytes(&[b'x'; 2048], Limits::default()), "not a tar archive");
    let pax = Tar::default().entry(EntryType::XHeader, "x", "", b"99 path=short\n", |_| ());
    refused(Lab::new().apply(pax.file("x", "")), "PAX header");
    let mut cut = gzip(&Tar::default().file("x", &"text".repeat(1000)).finish());
    cut.truncate(cut.len() / 2);
    refused(Lab::new().apply_bytes(&cut, Limits::default()), "");
}

#[test]
fn a_layer_cut_off_anywhere_panics_nowhere() {
    let tar = Tar::default()
        .pax(&[("path", b"d/long"), ("mtime", b"12.5")])
        .file("d/x", "content")
        .symlink("s", "d")
        .link("h", "s/long")
        .finish();
    for end in (0..tar.len()).step_by(97) {
        let _ = Lab::new().apply_bytes(&tar[..end], Limits::default());
    }
    // Nor does one with any byte of its headers changed.
    for at in (0..tar.len()).step_by(31) {
        let mut tar = tar.clone();
        tar[at] ^= 0x15;
        let _ = Lab::new().apply_bytes(&tar, Limits::default());
    }
}
