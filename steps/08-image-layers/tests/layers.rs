//! Layers there and back: what they make, in both forms, and what is made of a folder again.

mod common;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use common::{Lab, Tar, gzip, tree};
use image_layers::apply::Layer;
use image_layers::diff::{everything, write_layer};
use image_layers::root::Root;
use image_layers::{Digest, Limits};
use tar::EntryType;

#[test]
fn the_compression_does_not_matter() {
    let tar = Tar::default().file("x", "content").finish();
    let (first, second) = tar.split_at(700);
    for layer in [
        tar.clone(),
        gzip(&tar),
        [gzip(first), gzip(second)].concat(), // as pigz writes
        zstd::encode_all(&tar[..], 3).unwrap(),
    ] {
        let lab = Lab::new();
        lab.apply_bytes(&layer, Limits::default()).unwrap();
        assert_eq!(lab.read("x"), "content");
        let file = lab.dir.path().join("layer");
        fs::write(&file, &layer).unwrap();
        assert_eq!(Layer::read(&file, Limits::default()).unwrap().diff_id, Digest::of(&tar));
    }
}

#[test]
fn modes_times_and_links_are_kept() {
    let lab = Lab::new();
    let tar = Tar::default()
        .entry(EntryType::Directory, "d", "", b"", |header| {
            header.set_mode(0o1555);
            header.set_mtime(1000);
        })
        .pax(&[("mtime", b"2000.25")])
        .entry(EntryType::Regular, "d/suid", "", b"x", |header| header.set_mode(0o4755))
        .link("d/other", "d/suid")
        .entry(EntryType::Fifo, "d/pipe", "", b"", |_| ())
        .entry(EntryType::Symlink, "s", "nowhere", b"", |header| header.set_mtime(3000));
    lab.apply(tar).unwrap();
    let meta = |name: &str| fs::symlink_metadata(lab.root.join(name)).unwrap();
    assert_eq!((meta("d").mode() & 0o7777, meta("d").mtime()), (0o1555, 1000));
    assert_eq!(meta("d/suid").mode() & 0o7777, 0o4755);
    assert_eq!((meta("d/suid").mtime(), meta("d/suid").mtime_nsec()), (2000, 250_000_000));
    assert_eq!(meta("d/suid").ino(), meta("d/other").ino());
    assert!(meta("d/pipe").file_type().is_fifo());
    assert_eq!(meta("s").mtime(), 3000);
    fs::set_permissions(lab.root.join("d"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
}

#[test]
fn files_with_holes_are_files_with_holes() {
    // PAX 1.0: "abc" at 1 MiB, in a file of 2 MiB.
    let map = format!("{:\0<512}", "1\n1048576\n3\n");
    let content = [map.as_bytes(), b"abc"].concat();
    let pax: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"holes"),
        ("GNU.sparse.realsize", b"2097152"),
    ];
    let tar = Tar::default().pax(&pax);
    let tar = tar.entry(EntryType::Regular, "GNUSparseFile.0/holes", "", &content, |_| ());
    // GNU's own.
    let tar = tar.entry(EntryType::GNUSparse, "gnu", "", b"abc", |header| {
        let gnu = header.as_gnu_mut().unwrap();
        gnu.sparse[0].set_offset(1 << 20);
        gnu.sparse[0].set_length(3);
        gnu.set_real_size(2 << 20);
    });
    let lab = Lab::new();
    lab.apply(tar.file("after", "it")).unwrap();
    for name in ["holes", "gnu"] {
        let bytes = fs::read(lab.root.join(name)).unwrap();
        assert_eq!(bytes.len(), 2 << 20);
        assert_eq!(&bytes[1 << 20..(1 << 20) + 4], b"abc\0");
        assert!(fs::metadata(lab.root.join(name)).unwrap().blocks() < 100, "it has holes");
    }
    assert_eq!(lab.read("after"), "it");
}

/// Layers that delete, replace and link what is below, with what must come out.
fn piles() -> Vec<(Vec<Tar>, &'static [&'static str])> {
    let base = || {
        let tar = Tar::default().dir("./").dir("etc").file("etc/a", "a").file("etc/b", "b");
        tar.dir("usr")
            .dir("usr/lib")
            .file("usr/lib/x", "x")
            .symlink("lib", "usr/lib")
            .file("f", "f")
    };
    let usual: &[&str] =
        &["etc", "etc/a=a", "etc/b=b", "f=f", "lib", "usr", "usr/lib", "usr/lib/x=x"];
    vec![
        (vec![base()], usual),
        (
            vec![
                base(),
                Tar::default().whiteout("etc/.wh.a").whiteout(".wh.usr").whiteout(".wh.nothing"),
            ],
            &["etc", "etc/b=b", "f=f", "lib"],
        ),
        // A whiteout never hides what its own layer brings, before or behind it.
        (
            vec![base(), Tar::default().file("etc/a", "new").whiteout("etc/.wh.a")],
            &["etc", "etc/a=new", "etc/b=b", "f=f", "lib", "usr", "usr/lib", "usr/lib/x=x"],
        ),
        (
            vec![base(), Tar::default().dir("etc").file("etc/c", "c").whiteout("etc/.wh..wh..opq")],
            &["etc", "etc/c=c", "f=f", "lib", "usr", "usr/lib", "usr/lib/x=x"],
        ),
        (
            vec![base(), Tar::default().whiteout(".wh.etc").dir("etc").file("etc/c", "c")],
            &["etc", "etc/c=c", "f=f", "lib", "usr", "usr/lib", "usr/lib/x=x"],
        ),
        (
            vec![
                base(),
                Tar::default().file("etc/c", "c").whiteout(".wh.etc").whiteout("etc/.wh.a"),
            ],
            &["etc", "etc/c=c", "f=f", "lib", "usr", "usr/lib", "usr/lib/x=x"],
        ),
        // A folder that comes back in a later layer doesn't bring back what was in it.
        (
            vec![base(), Tar::default().whiteout(".wh.etc"), Tar::default().file("etc/c", "c")],
            &["etc", "etc/c=c", "f=f", "lib", "usr", "usr/lib", "usr/lib/x=x"],
        ),
        (
            vec![base(), Tar::default().file("etc", "file"), Tar::default().file("etc/c", "c")],
            &["etc", "etc/c=c", "f=f", "lib", "usr", "usr/lib", "usr/lib/x=x"],
        ),
        (
            vec![base(), Tar::default().file("f/g", "g")],
            &["etc", "etc/a=a", "etc/b=b", "f", "f/g=g", "lib", "usr", "usr/lib", "usr/lib/x=x"],
        ),
        // A path through a link of a layer below.
        (
            vec![base(), Tar::default().file("lib/y", "y").whiteout("lib/.wh.x")],
            &["etc", "etc/a=a", "etc/b=b", "f=f", "lib", "usr", "usr/lib", "usr/lib/y=y"],
        ),
        // A hard link to a file of a layer below.
        (
            vec![base(), Tar::default().link("etc/l", "f")],
            &[
                "etc",
                "etc/a=a",
                "etc/b=b",
                "etc/l=f",
                "f=f",
                "lib",
                "usr",
                "usr/lib",
                "usr/lib/x=x",
            ],
        ),
        // Everything goes.
        (vec![base(), Tar::default().whiteout(".wh..wh..opq").file("new", "n")], &["new=n"]),
        (vec![base(), Tar::default().whiteout(".wh..wh.plnk").whiteout(".wh..wh.aufs")], usual),
    ]
}

#[test]
fn both_forms_of_applying_show_the_same() {
    for (number, (pile, expected)) in piles().into_iter().enumerate() {
        let lab = Lab::new();
        let file = lab.dir.path().join("layer.tar");
        let mut layers: Vec<PathBuf> = Vec::new();
        for tar in &pile {
            lab.apply(tar.clone()).unwrap();
        }
        for (level, tar) in pile.into_iter().enumerate() {
            fs::write(&file, tar.finish()).unwrap();
            let folder = lab.dir.path().join(level.to_string());
            fs::create_dir(&folder).unwrap();
            let root = Root::overlay(&folder, &layers).unwrap();
            Layer::read(&file, Limits::default()).unwrap().apply(root).unwrap();
            layers.insert(0, folder);
        }
        let merged = lab.dir.path().join("merged");
        overlayfs::copy_layers(&layers, &merged).unwrap();
        let list = |root: &Path| -> Vec<String> {
            let line = |(path, what): (PathBuf, String)| match what.strip_prefix("file ") {
                Some(text) => format!("{}={text}", path.display()),
                None => path.display().to_string(),
            };
            tree(root).into_iter().map(line).collect()
        };
        assert_eq!(list(&lab.root), expected, "flat, pile {number}");
        assert_eq!(list(&merged), expected, "overlay, pile {number}");
    }
}

#[test]
fn a_folder_that_a_layer_only_passes_through_keeps_its_mode() {
    let lab = Lab::new();
    let base = Tar::default().entry(EntryType::Directory, "tmp", "", b"", |it| it.set_mode(0o1777));
    let (file, below) = (lab.dir.path().join("layer.tar"), lab.dir.path().join("below"));
    fs::create_dir(&below).unwrap();
    for (tar, root) in [
        (base, Root::overlay(&below, &[]).unwrap()),
        (Tar::default().file("tmp/x", ""), Root::overlay(&lab.root, &[below]).unwrap()),
    ] {
        fs::write(&file, tar.finish()).unwrap();
        Layer::read(&file, Limits::default()).unwrap().apply(root).unwrap();
    }
    assert_eq!(fs::metadata(lab.root.join("tmp")).unwrap().mode() & 0o7777, 0o1777);
}

#[test]
fn a_folder_becomes_a_layer_and_a_folder_again() {
    let lab = Lab::new();
    let long = "long/".repeat(40) + "name";
    let tar = Tar::default()
        .file("b", "b")
        .file("a", "a")
        .link("c", "b")
        .symlink("link", &"target/".repeat(30))
        .entry(EntryType::Fifo, "pipe", "", b"", |_| ())
        .file(&long, "deep")
        .pax(&[("SCHILY.xattr.user.note", b"\n\0\n")])
        .file("attribute", "");
    lab.apply(tar).unwrap();

    let write = |file: &str| {
        let file = lab.dir.path().join(file);
        let out = fs::File::create(&file).unwrap();
        let diff_id = write_layer(&lab.root, &everything(&lab.root).unwrap(), out).unwrap();
        (diff_id, fs::read(&file).unwrap())
    };
    let (diff_id, layer) = write("one");
    assert_eq!((&diff_id, &layer), (&write("two").0, &write("two").1), "the same bytes each time");

    let again = Lab::new();
    again.apply_bytes(&layer, Limits::default()).unwrap();
    assert_eq!(again.tree(), lab.tree());
    let inode = |name: &str| fs::metadata(again.root.join(name)).unwrap().ino();
    assert_eq!(inode("b"), inode("c"));
    assert_eq!(
        xattr::get(again.root.join("attribute"), "user.note").unwrap(),
        xattr::get(lab.root.join("attribute"), "user.note").unwrap()
    );
}

#[test]
fn a_name_that_would_be_a_whiteout_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".wh.x"), "").unwrap();
    let error = write_layer(dir.path(), &everything(dir.path()).unwrap(), std::io::sink());
    assert!(format!("{:#}", error.unwrap_err()).contains("can't hold names with '.wh.'"));
}
