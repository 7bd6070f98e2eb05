//! Archives made by hand, because no honest program would write them.
#![allow(dead_code)] // each test program uses a part

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use image_layers::{Digest, Limits, apply};
use tar::{EntryType, Header};
use tempfile::TempDir;

/// A tar archive in the making. Names are taken as they are, `..` and all.
#[derive(Clone, Default)]
pub struct Tar(pub Vec<u8>);

impl Tar {
    pub fn file(self, name: &str, content: &str) -> Tar {
        self.entry(EntryType::Regular, name, "", content.as_bytes(), |_| ())
    }

    pub fn dir(self, name: &str) -> Tar {
        self.entry(EntryType::Directory, name, "", b"", |header| header.set_mode(0o755))
    }

    pub fn symlink(self, name: &str, target: &str) -> Tar {
        self.entry(EntryType::Symlink, name, target, b"", |_| ())
    }

    pub fn link(self, name: &str, target: &str) -> Tar {
        self.entry(EntryType::Link, name, target, b"", |_| ())
    }

    pub fn whiteout(self, name: &str) -> Tar {
        self.file(name, "")
    }

    pub fn pax(self, records: &[(&str, &[u8])]) -> Tar {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = 3 + key.len() + value.len(); // space, equals, line end
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length += 1;
            }
            write!(data, "{length} {key}=").unwrap();
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.entry(EntryType::XHeader, "pax", "", &data, |_| ())
    }

    pub fn entry(
        mut self,
        kind: EntryType,
        name: &str,
        target: &str,
        content: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Tar {
        for (text, long) in [(name, EntryType::GNULongName), (target, EntryType::GNULongLink)] {
            if text.len() > 100 {
                let mut header = Header::new_gnu();
                header.set_entry_type(long);
                header.set_size(text.len() as u64);
                self = self.block(header, text.as_bytes());
            }
        }
        let mut header = Header::new_gnu();
        let put = |field: &mut [u8; 100], text: &str| {
            let length = text.len().min(100);
            field[..length].copy_from_slice(&text.as_bytes()[..length]);
        };
        put(&mut header.as_old_mut().name, name);
        put(&mut header.as_old_mut().linkname, target);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(rustix::process::geteuid().as_raw().into());
        header.set_gid(rustix::process::getegid().as_raw().into());
        header.set_size(content.len() as u64);
        change(&mut header);
        self.block(header, content)
    }

    fn block(mut self, mut header: Header, content: &[u8]) -> Tar {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// A folder to unpack into, with something beside it that must stay as it is.
pub struct Lab {
    pub dir: TempDir,
    pub root: PathBuf,
    pub outside: PathBuf,
}

impl Lab {
    pub fn new() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("canary"), "alive").unwrap();
        Lab { root, outside, dir }
    }

    /// Applies a layer; the error, if any, as a sentence. Whatever happens, the outside is unharmed.
    pub fn apply(&self, tar: Tar) -> Result<image_layers::Skipped, String> {
        self.apply_bytes(&tar.finish(), Limits::default())
    }

    pub fn apply_bytes(&self, tar: &[u8], limits: Limits) -> Result<image_layers::Skipped, String> {
        let layer = self.dir.path().join("layer.tar");
        fs::write(&layer, tar).unwrap();
        let result = apply::apply(&layer, &self.root, limits);
        fs::remove_file(layer).unwrap();
        assert_eq!(
            tree(self.dir.path())
                .into_iter()
                .filter(|(path, _)| !path.starts_with("root"))
                .collect::<Vec<_>>(),
            [("outside".into(), "dir".into()), ("outside/canary".into(), "file alive".into())],
            "something outside changed"
        );
        result.map_err(|error| format!("{error:#}"))
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap()
    }

    pub fn tree(&self) -> BTreeMap<PathBuf, String> {
        tree(&self.root)
    }
}

/// Everything in a folder, with what tells one file from another.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut todo = vec![folder.to_owned()];
    let mut all = BTreeMap::new();
    while let Some(dir) = todo.pop() {
        for entry in dir.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let kind = meta.file_type();
            let what = match () {
                () if kind.is_symlink() => {
                    format!("link {}", fs::read_link(&path).unwrap().display())
                }
                () if kind.is_dir() => {
                    todo.push(path.clone());
                    "dir".to_owned()
                }
                () if kind.is_file() => {
                    let content = fs::read(&path).unwrap();
                    match String::from_utf8(content) {
                        Ok(text) if text.len() < 100 => format!("file {text}"),
                        Ok(text) => format!("file {}", Digest::of(text.as_bytes())),
                        Err(bytes) => format!("file {}", Digest::of(bytes.as_bytes())),
                    }
                }
                () if kind.is_char_device() => format!("char {}", meta.rdev()),
                () => "other".to_owned(),
            };
            all.insert(path.strip_prefix(folder).unwrap().to_owned(), what);
        }
    }
    all
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}
