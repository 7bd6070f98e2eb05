//! Overlays for real, in a mount namespace of the test's own: as root, or as an ordinary user in a
//! user namespace. Nothing of it is left on the machine.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::slice;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{geteuid, mkfifo};
use overlayfs::{
    Overlay, changes, changes_by_walk, copy_layers, copy_tree, mount_in_memory, stack,
};
use unshare::Namespace;

type Test = fn(&Path) -> Result<()>;

fn main() -> Result<()> {
    let entered = if geteuid().is_root() {
        unshare::leave(&[Namespace::Mount])
    } else {
        unshare::user::become_root(&[Namespace::Mount])
    };
    if let Err(error) = entered {
        println!("skipped: {error:#}");
        return if std::env::var_os("CI").is_some() { Err(error) } else { Ok(()) };
    }
    mount_ns::make_private()?;
    let tests: [(&str, Test); 11] = [
        ("one container's writes stay its own", writes_stay_apart),
        ("changes in memory leave nothing", in_memory),
        ("changes are those of docker diff", changes_as_docker),
        ("a copy tells the same changes", changes_of_a_copy),
        ("a stack of layers is read as the kernel reads it", layers),
        ("a copy keeps what a file is", copies),
        ("any path can be a layer", odd_paths),
        ("500 layers", many_layers),
        ("an empty file can be a whiteout", marked_whiteouts),
        ("mistakes get sentences", mistakes),
        ("the root of the container has the rootfs's mode", root_mode),
    ];
    let scratch = nix::unistd::mkdtemp(&std::env::temp_dir().join("overlay-test-XXXXXX"))?;
    let mut failed = 0;
    for (name, test) in tests {
        mount(Some("tmpfs"), &scratch, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
        let result = test(&scratch);
        println!("{name}: {}", result.as_ref().err().map_or("ok".into(), |e| format!("{e:#}")));
        failed += usize::from(result.is_err());
        umount2(&scratch, MntFlags::MNT_DETACH)?;
    }
    fs::remove_dir(&scratch)?;
    ensure!(failed == 0, "{failed} failed");
    Ok(())
}

fn writes_stay_apart(at: &Path) -> Result<()> {
    let rootfs = rootfs(at)?;
    for name in ["one", "two"] {
        let merged = dir(at.join(name).join("merged"))?;
        Overlay::in_folder(slice::from_ref(&rootfs), &at.join(name))?.mount(&merged)?;
    }
    fs::write(at.join("one/merged/etc/passwd"), "mine")?;
    fs::remove_file(at.join("one/merged/etc/group"))?;
    ensure!(fs::read_to_string(at.join("two/merged/etc/passwd"))? == "root");
    ensure!(at.join("two/merged/etc/group").exists());
    ensure!(fs::read_to_string(rootfs.join("etc/passwd"))? == "root");
    Ok(())
}

fn in_memory(at: &Path) -> Result<()> {
    let rootfs = rootfs(at)?;
    mount_in_memory(slice::from_ref(&rootfs), &rootfs)?;
    fs::write(rootfs.join("etc/passwd"), "mine")?;
    fs::remove_dir_all(rootfs.join("usr"))?;
    // The overlay, then the tmpfs with the layers.
    umount2(&rootfs, MntFlags::empty())?;
    umount2(&rootfs, MntFlags::MNT_DETACH)?;
    ensure!(fs::read_to_string(rootfs.join("etc/passwd"))? == "root");
    ensure!(rootfs.join("usr/bin/tool").exists());

    let before = tree(&rootfs)?;
    std::env::set_current_dir(&rootfs)?;
    let mounted = mount_in_memory(&[".".into()], Path::new("."));
    std::env::set_current_dir("/")?;
    mounted?;
    umount2(&rootfs, MntFlags::empty())?;
    umount2(&rootfs, MntFlags::MNT_DETACH)?;
    same(&before, &tree(&rootfs)?)
}

const EXPECTED: &str = "\
C /etc
D /etc/group
C /etc/link
C /etc/mode
C /etc/passwd
A /etc/second
C /etc/touched
A /new
A /new/below
A /new/below/file
C /opt
A /opt/tool
C /srv
C /tmp
C /usr
C /usr/bin
A /usr/bin/new
D /usr/bin/tool
D /var
";

/// One change of each kind, in a tree as `rootfs` makes it.
fn change_everything(root: &Path) -> Result<()> {
    fs::write(root.join("etc/passwd"), "mine")?;
    fs::remove_file(root.join("etc/group"))?;
    fs::set_permissions(root.join("etc/mode"), Permissions::from_mode(0o600))?;
    File::options().write(true).open(root.join("etc/touched"))?.set_modified(SystemTime::now())?;
    // Opened for writing and not written: copied up, but no change.
    drop(File::options().write(true).open(root.join("etc/opened"))?);
    fs::hard_link(root.join("etc/opened"), root.join("etc/second"))?;
    fs::remove_file(root.join("etc/link"))?;
    symlink("other", root.join("etc/link"))?;
    fs::create_dir_all(root.join("new/below"))?;
    fs::write(root.join("new/below/file"), "")?;
    // A file becomes a directory, and the other way round.
    fs::remove_file(root.join("opt"))?;
    fs::create_dir(root.join("opt"))?;
    fs::write(root.join("opt/tool"), "")?;
    fs::remove_dir_all(root.join("srv"))?;
    fs::write(root.join("srv"), "")?;
    fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777))?;
    // A directory that is made anew is opaque: what it held is gone.
    fs::remove_dir_all(root.join("usr/bin"))?;
    fs::create_dir(root.join("usr/bin"))?;
    fs::write(root.join("usr/bin/new"), "")?;
    fs::remove_dir_all(root.join("var"))?;
    // What comes and goes is no change.
    fs::write(root.join("home/file"), "")?;
    fs::remove_file(root.join("home/file"))?;
    Ok(())
}

fn rootfs(at: &Path) -> Result<PathBuf> {
    let root = at.join("rootfs");
    for name in ["etc", "home", "srv/data", "tmp", "usr/bin", "var/log"] {
        fs::create_dir_all(root.join(name))?;
    }
    for name in ["etc/group", "etc/mode", "etc/opened", "etc/passwd", "etc/touched", "opt"] {
        fs::write(root.join(name), "root")?;
    }
    for name in ["srv/data/file", "usr/bin/tool", "var/log/messages"] {
        fs::write(root.join(name), "root")?;
    }
    symlink("passwd", root.join("etc/link"))?;
    let yesterday = SystemTime::now() - Duration::from_secs(86400);
    for name in ["etc/opened", "etc/touched"] {
        File::options().write(true).open(root.join(name))?.set_modified(yesterday)?;
    }
    Ok(root)
}

fn changes_as_docker(at: &Path) -> Result<()> {
    let rootfs = rootfs(at)?;
    let overlay = Overlay::in_folder(slice::from_ref(&rootfs), &at.join("container"))?;
    overlay.mount(&rootfs)?;
    change_everything(&rootfs)?;
    umount2(&rootfs, MntFlags::empty())?;
    same(EXPECTED, &lines(changes(&overlay.lowers, &overlay.upper)?))?;

    // The same content under the old time: no change. Another of the same length: one.
    overlay.mount(&rootfs)?;
    let opened = rootfs.join("etc/opened");
    let modified = fs::metadata(&opened)?.modified()?;
    fs::write(&opened, "toor")?;
    File::options().write(true).open(&opened)?.set_modified(modified)?;
    umount2(&rootfs, MntFlags::empty())?;
    ensure!(lines(changes(&overlay.lowers, &overlay.upper)?).contains("C /etc/opened\n"));
    Ok(())
}

fn changes_of_a_copy(at: &Path) -> Result<()> {
    let rootfs = rootfs(at)?;
    let copy = at.join("copy");
    copy_tree(&rootfs, &copy)?;
    same("", &lines(changes_by_walk(slice::from_ref(&rootfs), &copy)?))?;
    change_everything(&copy)?;
    same(EXPECTED, &lines(changes_by_walk(&[rootfs], &copy)?))
}

/// Three layers; the overlay of them, a copy of them and the list of changes agree.
fn layers(at: &Path) -> Result<()> {
    let bottom = rootfs(at)?;
    let (middle, top) = (dir(at.join("middle"))?, dir(at.join("top"))?);
    fs::create_dir_all(middle.join("etc"))?;
    stack::make_whiteout(&middle.join("etc/group"))?;
    stack::make_whiteout(&middle.join("usr"))?;
    fs::create_dir_all(middle.join("srv"))?;
    stack::make_opaque(&middle.join("srv"))?;
    fs::write(middle.join("srv/only"), "")?;
    fs::create_dir_all(top.join("etc"))?;
    fs::write(top.join("etc/group"), "top")?;
    fs::create_dir_all(top.join("usr/lib"))?;
    fs::create_dir_all(top.join("srv"))?;

    let layers = [top, middle, bottom];
    let merged = dir(at.join("merged"))?;
    let overlay = Overlay::in_folder(&layers, &at.join("container"))?;
    overlay.mount(&merged)?;
    let copy = at.join("copy");
    copy_layers(&layers, &copy)?;
    let shown = tree(&merged)?;
    ensure!(shown.contains("/usr/lib\n") && !shown.contains("/usr/bin"));
    ensure!(shown.contains("/srv/only\n") && !shown.contains("/srv/data"));
    ensure!(shown.contains("/etc/group\n"));
    same(&shown, &tree(&copy)?)?;

    for root in [&merged, &copy] {
        fs::remove_file(root.join("etc/group"))?;
        fs::create_dir(root.join("usr/bin"))?;
        fs::remove_file(root.join("srv/only"))?;
    }
    umount2(&merged, MntFlags::empty())?;
    let expected = "C /etc\nD /etc/group\nC /srv\nD /srv/only\nC /usr\nA /usr/bin\n";
    same(expected, &lines(changes(&layers, &overlay.upper)?))?;
    same(expected, &lines(changes_by_walk(&layers, &copy)?))
}

fn copies(at: &Path) -> Result<()> {
    let (from, to) = (dir(at.join("from"))?, at.join("to"));
    fs::write(from.join("file"), "text")?;
    fs::set_permissions(from.join("file"), Permissions::from_mode(0o4711))?;
    fs::hard_link(from.join("file"), from.join("hard"))?;
    symlink("/etc/shadow", from.join("soft"))?;
    symlink("/etc", from.join("softdir"))?;
    mkfifo(&from.join("fifo"), Mode::from_bits_truncate(0o640))?;
    File::create(from.join("sparse"))?.set_len(1 << 30)?;
    let privileged = !in_user_namespace()?;
    if privileged {
        chown(from.join("hard"), Some(1234), Some(5678))?;
        fs::set_permissions(from.join("file"), Permissions::from_mode(0o4711))?;
        mknod(&from.join("null"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3))?;
    }
    // tmpfs has user.* attributes since Linux 6.6.
    let attribute = xattr::set(from.join("file"), "user.colour", b"blue").is_ok();
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    for name in ["file", "."] {
        File::open(from.join(name))?.set_modified(old)?;
    }
    copy_tree(&from, &to)?;

    if privileged {
        let (file, null) = (to.join("file").metadata()?, to.join("null").metadata()?);
        ensure!((file.uid(), file.gid()) == (1234, 5678), "owner");
        ensure!(null.file_type().is_char_device() && null.rdev() == makedev(1, 3), "device");
    }
    let file = to.join("file").metadata()?;
    ensure!(fs::read_to_string(to.join("file"))? == "text");
    ensure!(file.mode() & 0o7777 == 0o4711, "mode {:o}", file.mode());
    ensure!(file.modified()? == old && to.metadata()?.modified()? == old, "times");
    ensure!(file.ino() == to.join("hard").metadata()?.ino(), "hard link");
    ensure!(fs::read_link(to.join("soft"))? == Path::new("/etc/shadow"));
    ensure!(fs::symlink_metadata(to.join("softdir"))?.is_symlink());
    ensure!(fs::symlink_metadata(to.join("fifo"))?.file_type().is_fifo());
    let sparse = to.join("sparse").metadata()?;
    ensure!(sparse.len() == 1 << 30 && sparse.blocks() < 1000, "sparse");
    if attribute {
        let value = xattr::get(to.join("file"), "user.colour")?;
        ensure!(value.as_deref() == Some(b"blue"), "attribute");
    }
    same("", &lines(changes_by_walk(&[from], &to)?))
}

fn odd_paths(at: &Path) -> Result<()> {
    let long = format!("{0}/{0}/{0}", "long".repeat(50));
    let names: Vec<&OsStr> = [
        "comma,comma",
        "colon:colon",
        "back\\slash",
        "space space",
        "new\nline",
        "#hash",
        "per%cent",
        &long,
    ]
    .iter()
    .map(|name| OsStr::new(*name))
    .chain([OsStr::from_bytes(b"not-\xff-text")])
    .collect();
    let mut lowers = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let lower = dir(at.join(name).join("lower"))?;
        fs::write(lower.join(index.to_string()), "")?;
        lowers.push(lower);
    }
    for name in names {
        let merged = dir(at.join(name).join("merged"))?;
        let overlay = Overlay::in_folder(&lowers, &at.join(name))?;
        overlay.mount(&merged).with_context(|| format!("{name:?}"))?;
        ensure!(fs::read_dir(&merged)?.count() == lowers.len(), "{name:?}");
        fs::write(merged.join("new"), "")?;
        ensure!(overlay.upper.join("new").exists(), "{name:?}");
        umount2(&merged, MntFlags::empty())?;
    }
    Ok(())
}

fn many_layers(at: &Path) -> Result<()> {
    let mut lowers = Vec::new();
    for number in 0..=500 {
        // As long as a path in a store that is named after digests.
        let lower = dir(at.join(format!("layers/sha256/{number:064}/files")))?;
        fs::write(lower.join(number.to_string()), "")?;
        lowers.push(lower);
    }
    let merged = dir(at.join("merged"))?;
    for count in [1, 40, 200, 500] {
        let mounted = Overlay::in_folder(&lowers[..count], at)?.mount(&merged);
        if count == 500 && before_6_7(&mounted) {
            return Ok(());
        }
        mounted.with_context(|| count.to_string())?;
        ensure!(fs::read_dir(&merged)?.count() == count);
        umount2(&merged, MntFlags::empty())?;
    }
    let error = Overlay::in_folder(&lowers, at)?.mount(&merged);
    fails(error, "501 layers, and Linux takes 500")
}

fn before_6_7(mounted: &Result<()>) -> bool {
    mounted.as_ref().is_err_and(|error| format!("{error:#}").contains("before 6.7"))
}

/// The second kind of whiteout, for which no mount is needed here: Linux before 6.7 can't read it.
fn marked_whiteouts(at: &Path) -> Result<()> {
    let (rootfs, upper) = (rootfs(at)?, at.join("upper"));
    fs::create_dir_all(upper.join("etc"))?;
    for name in ["etc/group", "etc/mode"] {
        fs::write(upper.join(name), "")?;
    }
    let marks = if geteuid().is_root() && !in_user_namespace()? { "trusted" } else { "user" };
    let file = upper.join("etc/group");
    if xattr::set(&file, format!("{marks}.overlay.whiteout"), b"").is_err() {
        println!("    skipped: a tmpfs has no user.* attributes before Linux 6.6");
        return Ok(());
    }
    same("C /etc\nD /etc/group\nC /etc/mode\n", &lines(changes(&[rootfs], &upper)?))
}

fn in_user_namespace() -> Result<bool> {
    Ok(!fs::read_to_string("/proc/self/uid_map")?.contains("4294967295"))
}

fn mistakes(at: &Path) -> Result<()> {
    let (rootfs, merged) = (rootfs(at)?, dir(at.join("merged"))?);
    let good = Overlay::in_folder(slice::from_ref(&rootfs), at)?;
    let with = |change: fn(&mut Overlay, &Path)| {
        let mut overlay = good.clone();
        change(&mut overlay, at);
        overlay.mount(&merged)
    };
    fails(with(|overlay, at| overlay.lowers.push(at.join("none"))), "none is not a directory")?;
    fails(with(|overlay, _| overlay.lowers.clear()), "no lower layer")?;
    fails(with(|overlay, _| overlay.upper.push("none")), "none is not a directory")?;
    fails(with(|overlay, at| overlay.work = at.join("upper")), "inside each other")?;
    fails(
        with(|overlay, at| overlay.lowers.push(at.join("rootfs"))),
        "stands there twice, or lies inside another",
    )?;
    fails(good.mount(&at.join("nowhere")), "No such file or directory")?;

    let other = dir(at.join("other"))?;
    mount(Some("tmpfs"), &other, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    fails(with(|overlay, at| overlay.work = at.join("other")), "must lie on one mount")?;

    good.mount(&merged)?;
    let nested = Overlay::in_folder(&[rootfs], &merged)?;
    fails(nested.mount(&other), "lies on an overlay: put it on a real file system or a tmpfs")?;
    // An overlay may be a layer of another one, but not of a third.
    let second = Overlay::in_folder(&[merged], &other)?;
    let merged = dir(other.join("merged"))?;
    second.mount(&merged)?;
    let third = Overlay::in_folder(&[merged], &dir(at.join("third"))?)?;
    fails(third.mount(&at.join("third")), "Linux stacks two at most")
}

fn root_mode(at: &Path) -> Result<()> {
    let rootfs = rootfs(at)?;
    fs::set_permissions(&rootfs, Permissions::from_mode(0o1751))?;
    mount_in_memory(slice::from_ref(&rootfs), &rootfs)?;
    ensure!(rootfs.metadata()?.mode() & 0o7777 == 0o1751);
    Ok(())
}

fn dir(path: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&path)?;
    Ok(path)
}

fn lines(changes: Vec<overlayfs::Change>) -> String {
    changes.iter().map(|change| format!("{change}\n")).collect()
}

/// Every path below `root`, a line each.
fn tree(root: &Path) -> Result<String> {
    fn walk(dir: &Path, root: &Path, paths: &mut Vec<String>) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            paths.push(format!("/{}\n", path.strip_prefix(root).unwrap().display()));
            if fs::symlink_metadata(&path)?.is_dir() {
                walk(&path, root, paths)?;
            }
        }
        Ok(())
    }
    let mut paths = Vec::new();
    walk(root, root, &mut paths)?;
    paths.sort();
    Ok(paths.concat())
}

fn same(expected: &str, found: &str) -> Result<()> {
    ensure!(expected == found, "expected\n{expected}\nbut found\n{found}");
    Ok(())
}

fn fails(result: Result<()>, words: &str) -> Result<()> {
    let sentence = chroot::exit::sentence(&result.err().context("mounted, against expectation")?);
    println!("    {sentence}");
    ensure!(sentence.contains(words), "expected '{words}' in: {sentence}");
    Ok(())
}
