//! The store: images in from everywhere, and nothing kept of what goes wrong.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Tar, gzip, tree};
use image_layers::{Digest, History, Limits, NotFound, Store};
use overlayfs::{Change, Kind};
use serde_json::{Value, json};
use tempfile::TempDir;

const STEP: &str = env!("CARGO_BIN_EXE_step08-image-layers");

/// A store in a folder of its own, which also has room for archives.
struct Lab {
    dir: TempDir,
    store: Store,
}

impl Lab {
    fn new() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        Lab { store, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn files(&self) -> BTreeMap<PathBuf, String> {
        tree(&self.path("store"))
    }

    fn load(&self, archive: &[u8]) -> Result<Vec<String>, String> {
        let loaded = self.store.load_from(archive).map_err(|error| format!("{error:#}"))?;
        Ok(loaded.iter().map(|image| image.to_string()).collect())
    }

    #[track_caller]
    fn refuses(&self, archive: &[u8], why: &str) {
        let before = self.files();
        let sentence = self.load(archive).expect_err("this archive should be refused");
        assert!(sentence.contains(why), "{sentence}");
        assert_eq!(self.files(), before, "the store is not what it was");
    }

    fn read(&self, image: &str, path: &str) -> String {
        fs::read_to_string(self.store.find(image).unwrap().layers[0].join(path)).unwrap()
    }
}

/// An image with one layer that holds one file, as an OCI image layout by file name.
struct Layout(BTreeMap<String, Vec<u8>>);

impl Layout {
    fn new(name: &str, content: &str) -> Layout {
        let tar = Tar::default().file("file", content).finish();
        Layout::of(name, &[(gzip(&tar), Digest::of(&tar))], json!({ "Cmd": ["cat", "/file"] }))
    }

    fn of(name: &str, layers: &[(Vec<u8>, Digest)], config: Value) -> Layout {
        let mut layout = Layout(BTreeMap::new());
        let diff_ids: Vec<String> = layers.iter().map(|(_, id)| id.to_string()).collect();
        let config = json!({
            "architecture": arch(), "os": "linux", "config": config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = layout.json("application/vnd.oci.image.config.v1+json", &config);
        let layers: Vec<Value> = layers
            .iter()
            .map(|(blob, _)| layout.blob("application/vnd.oci.image.layer.v1.tar+gzip", blob))
            .collect();
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
        let mut manifest = layout.json("application/vnd.oci.image.manifest.v1+json", &manifest);
        manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        layout.index(&[manifest]);
        layout
    }

    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        self.0.insert(format!("blobs/sha256/{}", digest.hex()), bytes.into());
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
    }

    fn json(&mut self, media_type: &str, value: &Value) -> Value {
        self.blob(media_type, value.to_string().as_bytes())
    }

    fn index(&mut self, manifests: &[Value]) {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        self.0.insert("index.json".into(), index.to_string().into());
        self.0.insert("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.into());
    }

    fn entries(&self) -> Vec<Value> {
        let index: Value = serde_json::from_slice(&self.0["index.json"]).unwrap();
        index["manifests"].as_array().unwrap().clone()
    }

    fn tar(&self) -> Vec<u8> {
        let file = |tar: Tar, (name, bytes): (&String, &Vec<u8>)| {
            tar.entry(tar::EntryType::Regular, &format!("./{name}"), "", bytes, |_| ())
        };
        self.0.iter().fold(Tar::default(), file).finish()
    }

    fn folder(&self, folder: &Path) {
        for (name, bytes) in &self.0 {
            fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[test]
fn an_oci_layout_comes_in_as_a_folder_a_tar_or_a_compressed_one() {
    let layout = Layout::new("app:v1", "hello");
    let lab = Lab::new();
    layout.folder(&lab.path("layout"));
    assert_eq!(lab.store.load(&lab.path("layout")).unwrap()[0].names[0].to_string(), "app:v1");
    assert_eq!(lab.read("app:v1", "file"), "hello");
    for archive in
        [layout.tar(), gzip(&layout.tar()), zstd::encode_all(&layout.tar()[..], 3).unwrap()]
    {
        let other = Lab::new();
        assert_eq!(other.load(&archive).unwrap(), ["Loaded image: app:v1"]);
        assert_eq!(other.files(), lab.files());
    }
    // The store is an OCI layout itself.
    let other = Lab::new();
    other.store.load(&lab.path("store")).unwrap();
    assert_eq!(other.files(), lab.files());
}

#[test]
fn what_docker_saved_comes_in_old_and_new() {
    let layer = Tar::default().file("file", "saved").finish();
    let config = json!({
        "architecture": arch(), "os": "linux", "config": { "Env": null, "Cmd": ["sh"] },
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer).to_string(), Digest::of(&layer).to_string()] },
    })
    .to_string();
    let tags = json!(["docker.io/library/app:v1", "registry:5000/app"]);
    let manifest =
        json!([{ "Config": "c.json", "RepoTags": tags, "Layers": ["1/layer.tar", "2/layer.tar"] }]);
    let old = Tar::default()
        .entry(tar::EntryType::Regular, "1/layer.tar", "", &layer, |_| ())
        .symlink("2/layer.tar", "../1/layer.tar")
        .file("c.json", &config)
        .file("manifest.json", &manifest.to_string());
    let lab = Lab::new();
    let names = "Loaded image: app:v1\nLoaded image: registry:5000/app:latest";
    assert_eq!(lab.load(&gzip(&old.finish())).unwrap(), [names]);
    let image = lab.store.find("app:v1").unwrap();
    assert_eq!(image.id, Digest::of(config.as_bytes()), "the id that Docker shows");
    assert_eq!(image.layers.len(), 2);
    assert_eq!(lab.store.images().unwrap().len(), 2);

    // Since version 25 it is an OCI layout as well, with names in both.
    let mut new = Layout::new("v1", "new");
    let config = new.0.keys().find(|name| new.0[*name].starts_with(br#"{"architecture""#)).unwrap();
    let manifest = json!([{ "Config": config, "RepoTags": ["app:v1"], "Layers": [] }]);
    new.0.insert("manifest.json".into(), manifest.to_string().into());
    assert_eq!(lab.load(&new.tar()).unwrap(), ["Loaded image: app:v1"]);
    assert_eq!(lab.read("app:v1", "file"), "new");
    assert_eq!(lab.read(image.id.short(), "file"), "saved", "the old one has its other name still");
}

#[test]
fn of_many_platforms_this_machine_s_is_taken() {
    let mut layout = Layout::new("app:v1", "mine");
    let mut mine = layout.entries().remove(0);
    mine["platform"] = json!({ "os": "linux", "architecture": arch() });
    let missing = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 2,
        "digest": Digest::of(b"elsewhere").to_string(), "platform": { "os": "linux", "architecture": "s390x" },
    });
    let list = json!({ "schemaVersion": 2, "manifests": [missing.clone(), mine] });
    let mut list = layout.json("application/vnd.oci.image.index.v1+json", &list);
    list["annotations"] = json!({ "io.containerd.image.name": "docker.io/library/multi:v2" });
    layout.index(&[list]);
    let lab = Lab::new();
    assert_eq!(lab.load(&layout.tar()).unwrap(), ["Loaded image: multi:v2"]);
    layout.index(&[missing]);
    lab.refuses(&layout.tar(), "no image for linux/");
}

#[test]
fn nothing_is_kept_of_a_bad_archive() {
    let lab = Lab::new();
    lab.load(&Layout::new("first:v1", "kept").tar()).unwrap();
    let good = Layout::new("app:v1", "hello");
    let manifest = good.entries()[0]["digest"].as_str().unwrap()[7..].to_owned();

    for name in good.0.keys().filter(|name| name.starts_with("blobs/")) {
        let mut bad = Layout(good.0.clone());
        bad.0.get_mut(name).unwrap()[5] ^= 1;
        lab.refuses(&bad.tar(), "is damaged");
        let mut bad = Layout(good.0.clone());
        bad.0.remove(name);
        lab.refuses(&bad.tar(), "is missing");
    }
    let mut bad = Layout(good.0.clone());
    let mut entry = bad.entries().remove(0);
    entry["size"] = json!(1);
    bad.index(&[entry]);
    lab.refuses(&bad.tar(), "bytes instead of 1");

    // The second image is bad: the first doesn't stay either.
    let mut both = Layout(good.0.clone());
    let mut entries = both.entries();
    entries.push(entries[0].clone());
    entries[1]["digest"] = json!(Digest::of(b"nothing").to_string());
    both.index(&entries);
    lab.refuses(&both.tar(), "is missing");

    for (what, why) in [
        (json!({ "digest": "sha256:../../../../etc/passwd" }), "index.json"),
        (json!({ "digest": format!("sha512:{}", "0".repeat(128)) }), "is not a sha256 digest"),
    ] {
        let mut bad = Layout(good.0.clone());
        let mut entry = bad.entries().remove(0);
        entry["digest"] = what["digest"].clone();
        bad.index(&[entry]);
        lab.refuses(&bad.tar(), why);
    }
    assert!(good.0.contains_key(&format!("blobs/sha256/{manifest}")));

    let tar = Tar::default().file("file", "x").finish();
    let wrong = Layout::of("app:v1", &[(gzip(&tar), Digest::of(b"other"))], json!({}));
    lab.refuses(&wrong.tar(), "but it is sha256:");
    let out = Tar::default().file("../../out", "x").finish();
    let out = Layout::of("app:v1", &[(gzip(&out), Digest::of(&out))], json!({}));
    lab.refuses(&out.tar(), "leads out of the image");
    lab.refuses(b"this is no archive, but text, and longer than it seems", "cut off");
    lab.refuses(&Tar::default().file("x", "").finish(), "neither an OCI image layout");
    lab.refuses(&Tar::default().file("manifest.json", "[{]").finish(), "read manifest.json");
    let evil = json!([{ "Config": "../../../etc/passwd", "Layers": [] }]).to_string();
    lab.refuses(&Tar::default().file("manifest.json", &evil).finish(), "is missing");
    fs::create_dir(lab.path("evil")).unwrap();
    fs::write(lab.path("evil/manifest.json"), evil).unwrap();
    let error = lab.store.load(&lab.path("evil")).unwrap_err();
    assert!(format!("{error:#}").contains("open '../../../etc/passwd'"), "{error:#}");
}

#[test]
fn nothing_is_kept_of_a_truncated_archive() {
    let lab = Lab::new();
    let tar = Layout::new("app:v1", "hello").tar();
    let end = tar.len() - 1024; // the end marker, without which a tar archive may do
    for archive in [tar[..end].to_vec(), gzip(&tar)] {
        let before = lab.files();
        for end in (0..archive.len() - 20).step_by(211) {
            assert!(lab.load(&archive[..end]).is_err(), "cut off at {end}");
            assert_eq!(lab.files(), before);
        }
    }
    lab.load(&tar).unwrap();
}

#[test]
fn a_bomb_leaves_the_store_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::open(dir.path()).unwrap().with_limits(Limits { bytes: 1 << 20, entries: 1000 });
    let before = tree(dir.path());
    let layout = Layout::new("bomb:v1", &"\0".repeat(8 << 20));
    let error = format!("{:#}", store.load_from(&layout.tar()[..]).unwrap_err());
    assert!(error.contains("more bytes than the limit"), "{error}");
    assert_eq!(tree(dir.path()), before);
}

#[test]
fn images_are_found_by_name_and_by_id() {
    let lab = Lab::new();
    lab.load(&Layout::new("app", "one").tar()).unwrap();
    lab.load(&Layout::new("team/app:v2", "two").tar()).unwrap();
    let id = lab.store.find("team/app:v2").unwrap().id;
    for name in ["team/app:v2", id.short(), &id.to_string(), "docker.io/team/app:v2"] {
        assert_eq!(lab.store.find(name).unwrap().id, id, "{name}");
    }
    for name in ["nope", "app:v2", "0123456789ab", "", "UPPER", "../x"] {
        let error = lab.store.find(name).unwrap_err();
        assert!(error.downcast_ref::<NotFound>().is_some(), "{error:#}");
    }
    assert_eq!(
        lab.store.find("nope").unwrap_err().to_string(),
        "image 'nope:latest' is not in the store"
    );
}

#[test]
fn a_removed_image_takes_along_what_is_its_own() {
    let lab = Lab::new();
    lab.load(&Layout::new("app:v1", "one").tar()).unwrap();
    let before = lab.files();
    lab.load(&Layout::new("app:v2", "two").tar()).unwrap();
    lab.store.tag("app:v2", "app:other").unwrap();
    let id = lab.store.find("app:v2").unwrap().id;
    assert!(lab.store.remove(id.short()).is_err(), "two names");
    let removed = lab.store.remove("app:v2").unwrap();
    assert_eq!((removed.untagged.len(), removed.deleted), (1, None));
    assert_eq!(lab.store.remove("app:other").unwrap().deleted, Some(id));
    assert_eq!(lab.files().keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert!(lab.store.remove("app:v2").is_err());

    // An image that loses its name to another one is still there, without a name.
    lab.load(&Layout::new("app:v1", "new").tar()).unwrap();
    let images = lab.store.images().unwrap();
    let unnamed = images.iter().find(|image| image.name.is_none()).unwrap();
    assert_eq!(lab.read(unnamed.id.short(), "file"), "one");
    lab.store.remove(unnamed.id.short()).unwrap();
    assert_eq!(lab.store.images().unwrap().len(), 1);
}

#[test]
fn a_rootfs_becomes_an_image_and_its_changes_another() {
    let lab = Lab::new();
    let rootfs = lab.path("rootfs");
    fs::create_dir_all(rootfs.join("etc")).unwrap();
    for name in ["etc/a", "etc/b"] {
        fs::write(rootfs.join(name), name).unwrap();
    }
    let base = lab.store.import_rootfs(&rootfs, "base").unwrap();
    let base = lab.store.find(base.id.short()).unwrap();
    assert_eq!(base.config.config().as_ref().unwrap().cmd(), &Some(vec!["/bin/sh".into()]));

    let upper = lab.path("upper");
    fs::create_dir_all(upper.join("etc")).unwrap();
    fs::write(upper.join("etc/a"), "changed").unwrap();
    let change = |kind, path: &str| Change { kind, path: path.into() };
    let changes = [
        change(Kind::Changed, "/etc"),
        change(Kind::Changed, "/etc/a"),
        change(Kind::Deleted, "/etc/b"),
    ];
    let mut history = History::default();
    history.set_created_by(Some("echo changed > /etc/a".into()));
    let new = lab
        .store
        .commit(&base, &upper, &changes, Some("new".parse().unwrap()), history, |config| {
            config.set_user(Some("web".into()));
        })
        .unwrap();
    let new = lab.store.find(new.id.short()).unwrap();
    assert_eq!(new.names[0].to_string(), "new:latest");
    assert_eq!(new.layers[1..], base.layers);
    assert_eq!(new.config.rootfs().diff_ids().len(), 2);
    assert_eq!(new.config.history().as_ref().unwrap().len(), 2);
    assert_eq!(new.config.config().as_ref().unwrap().user(), &Some("web".into()));
    let merged = lab.path("merged");
    overlayfs::copy_layers(&new.layers, &merged).unwrap();
    let expected = [("etc", "dir"), ("etc/a", "file changed")];
    let expected = expected.map(|(path, what)| (path.into(), what.into()));
    assert_eq!(tree(&merged), expected.into());

    // Even when the base is gone by name, its layers stay with the new image.
    lab.store.remove("base").unwrap();
    assert_eq!(lab.store.find("new").unwrap().layers.len(), 2);
    let empty = lab.path("empty");
    fs::create_dir(&empty).unwrap();
    assert!(lab.store.import_rootfs(&empty, "x").unwrap_err().to_string().contains("empty"));
    assert!(lab.store.import_rootfs(&rootfs, "Upper Case").is_err());
}

#[test]
fn missing_layers_are_unpacked_again_and_damaged_blobs_noticed() {
    let lab = Lab::new();
    let layout = Layout::new("app:v1", "hello");
    lab.load(&layout.tar()).unwrap();
    let image = lab.store.find("app:v1").unwrap();
    fs::remove_dir_all(&image.layers[0]).unwrap();
    assert_eq!(lab.read("app:v1", "file"), "hello");

    let config = lab.path("store/blobs/sha256").join(image.id.hex());
    fs::write(&config, "{}").unwrap();
    let error = format!("{:#}", lab.store.find("app:v1").unwrap_err());
    assert!(error.contains("is damaged (load its image again)"), "{error}");
    lab.load(&layout.tar()).unwrap();
    assert_eq!(lab.read("app:v1", "file"), "hello");

    let index = lab.path("store/index.json");
    for text in ["", "{", "[]", r#"{"schemaVersion":2,"manifests":[{"digest":7}]}"#] {
        fs::write(&index, text).unwrap();
        let error = format!("{:#}", lab.store.images().unwrap_err());
        assert!(error.contains("index.json is damaged"), "{error}");
        assert!(lab.load(&layout.tar()).is_err());
    }
    assert!(config.exists(), "nothing is removed while it isn't known what is needed");
}

#[test]
fn a_folder_with_other_things_does_not_become_a_store() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "all of it").unwrap();
    let error = format!("{:#}", Store::open(dir.path()).unwrap_err());
    assert!(error.contains("the folder holds other things already"), "{error}");
    assert_eq!(tree(dir.path()).len(), 1);
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let lab = Lab::new();
    let store = lab.path("another");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let store = &store;
            scope.spawn(move || {
                let store = Store::open(store).unwrap();
                for round in 0..5 {
                    let name = format!("app{number}:{round}");
                    store.load_from(&Layout::new(&name, &name).tar()[..]).unwrap();
                    assert!(store.find(&name).is_ok());
                    if round % 2 == 1 {
                        store.remove(&name).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(Store::open(&store).unwrap().images().unwrap().len(), 8 * 3);
    assert_eq!(fs::read_dir(store.join("tmp")).unwrap().count(), 0);
}

#[test]
fn who_is_killed_leaves_nothing() {
    let lab = Lab::new();
    lab.load(&Layout::new("first:v1", "kept").tar()).unwrap();
    let before = lab.files();
    let files =
        (0..3000).fold(Tar::default(), |tar, number| tar.file(&format!("f{number}"), "text"));
    let tar = files.finish();
    let layout = Layout::of("big:v1", &[(gzip(&tar), Digest::of(&tar))], json!({}));
    fs::write(lab.path("big.tar"), layout.tar()).unwrap();
    let load = || {
        let mut command = Command::new(STEP);
        command.arg("--store").arg(lab.path("store")).arg("load").arg(lab.path("big.tar"));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut killed = 0;
    for delay in 0..20 {
        let mut child = load();
        std::thread::sleep(std::time::Duration::from_millis(delay * 7));
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        // Whoever comes next cleans up.
        let store = Store::open(&lab.path("store")).unwrap();
        if store.find("big:v1").is_ok() {
            store.remove("big:v1").unwrap();
        }
        killed += u32::from(ended.signal() == Some(9));
        assert_eq!(lab.files(), before, "killed after {} ms", delay * 7);
    }
    assert!(killed > 0);
    assert!(load().wait().unwrap().success());
}

/// In a filesystem of one megabyte, mounted in namespaces of its own.
#[test]
fn a_full_disk_leaves_the_store_as_it_was() {
    let lab = Lab::new();
    fs::create_dir(lab.path("small")).unwrap();
    fs::write(lab.path("first.tar"), Layout::new("first:v1", "kept").tar()).unwrap();
    // Once the archive itself is too large, once only what it unpacks to.
    let random: String =
        (0u32..40_000).map(|number| Digest::of(&number.to_le_bytes()).to_string()).collect();
    fs::write(lab.path("blob.tar"), Layout::new("big:v1", &random).tar()).unwrap();
    fs::write(lab.path("layer.tar"), Layout::new("big:v1", &"\0x".repeat(4 << 20)).tar()).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=1m small small || exit 99
         step='{STEP} --store small/store'
         $step load first.tar || exit 1
         find small | sort > before; cat small/store/index.json >> before
         for file in blob.tar layer.tar; do
             $step load $file 2> error && exit 2
             grep 'No space left on device' error || {{ cat error; exit 3; }}
             find small | sort > after; cat small/store/index.json >> after
             cmp before after || exit 4
         done"
    );
    let mut command = Command::new("unshare");
    let user: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["-r"] };
    let output = command.args(user).args(["-m", "sh", "-c", &script]).current_dir(lab.dir.path());
    let output = output.output().expect("unshare(1) of util-linux");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(99) || text.contains("unshare failed") {
        eprintln!("skipped: no mounts can be made here: {text}");
        return;
    }
    assert!(output.status.success(), "{} {text}", output.status);
}
