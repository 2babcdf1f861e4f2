//! What takes space in a store, and why it is there. The bytes are those that were noted when things were made; only the
//! directories of cache mounts and git repositories, which change, are walked.

use super::collect::{Collector, entries};
use super::error::{At, StoreError};
use super::records::StepRecord;
use super::{LayerDir, SnapshotId, Store, document};
use crate::content::ContentId;
use registry_client::descriptor::Descriptor;
use registry_client::digest::Digest;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What something in a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The result of a step, with the forms it was packed to.
    Step,
    /// An unpacked layer of an image.
    Layer,
    /// The documents and packed layers of an image.
    Image,
    /// A blob of no image.
    Blob,
    /// The directory of a cache mount.
    CacheMount,
    /// A git repository that sources were taken from.
    Source,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Step, Self::Layer, Self::Image, Self::Blob, Self::CacheMount, Self::Source];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Layer => "layer",
            Self::Image => "image",
            Self::Blob => "blob",
            Self::CacheMount => "cache-mount",
            Self::Source => "source",
        }
    }
}

/// Why something is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Images with these names need it.
    Named(Vec<String>),
    /// Only images without a name need it: these manifests or indexes.
    Unnamed(Vec<Digest>),
    /// The next build can use it.
    Cache,
    /// There is no reason any more: the next collection takes it.
    Nothing,
}

/// Something in a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Names it: a snapshot id, hexadecimal digits of a DiffID or digest, the name of a directory.
    pub id: String,
    /// For people.
    pub description: String,
    /// Bytes of files. No byte is counted with two items.
    pub size: u64,
    /// Whether several images or steps need it.
    pub shared: bool,
    /// When a build last used it, to the day; of what no build notes, when it was made.
    pub last_used: Option<SystemTime>,
    /// How long it took to make, when that is known.
    pub took: Option<Duration>,
    /// Why it is there.
    pub kept: Kept,
    pub(super) place: Place,
}

impl Item {
    /// Contents of the root file systems that steps with this result started from and left.
    pub(super) fn contents(&self) -> &[(ContentId, ContentId)] {
        match &self.place {
            Place::Step(_, contents) => contents,
            _ => &[],
        }
    }
}

/// What removing an item takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    /// A snapshot, with the contents of the root file systems its steps started from and left.
    Step(SnapshotId, Vec<(ContentId, ContentId)>),
    /// An entry of the list of images.
    Image(Digest),
    /// A directory that nothing refers to.
    Directory(PathBuf),
    /// It goes with what needs it.
    Needed,
}

/// How sizes of directories that change are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sizes {
    /// They are walked.
    Exact,
    /// As they were when they were last used.
    Noted,
}

/// An image, and all that it needs.
struct Needs<'a> {
    descriptor: Descriptor,
    names: Vec<String>,
    marked: Collector<'a>,
}

/// What the records say of a snapshot.
#[derive(Default)]
struct Uses {
    count: usize,
    last: Option<SystemTime>,
    took: Option<Duration>,
    contents: Vec<(ContentId, ContentId)>,
}

impl Store {
    /// Everything that takes space, the largest first.
    ///
    /// # Errors
    /// When a directory of the store cannot be read.
    pub fn space(&self) -> Result<Vec<Item>, StoreError> {
        self.observing().items(Sizes::Exact)
    }

    /// The same, for a store that only looks around.
    pub(super) fn items(&self, sizes: Sizes) -> Result<Vec<Item>, StoreError> {
        let layers = self.layers().list()?;
        let images = self.needs(&layers)?;
        let mut blobs: BTreeMap<Digest, u64> =
            self.blobs().list()?.iter().map(|blob| (blob.digest, blob.size)).collect();
        let mut items = self.image_items(&images, &mut blobs);
        items.extend(self.step_items(&images, &mut blobs)?);
        items.extend(self.layer_items(&images, &layers));
        items.extend(blobs.into_iter().map(|(digest, size)| Item {
            kind: Kind::Blob,
            id: digest.hex().to_owned(),
            description: "of no image".to_owned(),
            size,
            shared: false,
            last_used: modified(&self.blobs().path(&digest)),
            took: None,
            kept: Kept::Nothing,
            place: Place::Needed,
        }));
        items.extend(self.directory_items(
            "mounts",
            Kind::CacheMount,
            "directory of a cache mount",
            sizes,
        )?);
        items.extend(self.directory_items("git", Kind::Source, "git repository", sizes)?);
        items.sort_by(|one, other| other.size.cmp(&one.size).then_with(|| one.id.cmp(&other.id)));
        Ok(items)
    }

    /// Whether any cache mount has a directory.
    pub fn has_cache_mounts(&self) -> bool {
        entries(self.path("mounts")).is_ok_and(|entries| !entries.is_empty())
    }

    fn needs(&self, layers: &[LayerDir]) -> Result<Vec<Needs<'_>>, StoreError> {
        let mut images: BTreeMap<Digest, (Descriptor, Vec<String>)> = BTreeMap::new();
        for image in self.images().list()? {
            let entry = images.entry(image.descriptor.digest).or_insert((image.descriptor, Vec::new()));
            entry.1.extend(image.name);
        }
        let needs = images.into_values().map(|(descriptor, names)| {
            let mut marked = Collector::new(self);
            marked.image(&descriptor);
            Needs { descriptor, names, marked: marked.closed(layers) }
        });
        Ok(needs.collect())
    }

    /// Takes the blobs of images out of `blobs`; one of several images counts with the first.
    fn image_items(&self, images: &[Needs<'_>], blobs: &mut BTreeMap<Digest, u64>) -> Vec<Item> {
        let mut users: BTreeMap<Digest, usize> = BTreeMap::new();
        for digest in images.iter().flat_map(|image| &image.marked.blobs) {
            *users.entry(*digest).or_default() += 1;
        }
        let item = |image: &Needs<'_>| {
            let digest = image.descriptor.digest;
            let needed = &image.marked.blobs;
            Item {
                kind: Kind::Image,
                id: self.images().id(&image.descriptor).unwrap_or(digest).hex().to_owned(),
                description: image.names.first().cloned().unwrap_or_else(|| "without a name".to_owned()),
                size: needed.iter().filter_map(|digest| blobs.remove(digest)).sum(),
                shared: needed.iter().any(|digest| users.get(digest).is_some_and(|users| *users > 1)),
                last_used: modified(&self.blobs().path(&digest)),
                took: None,
                kept: kept_by(&[image], Kept::Nothing),
                place: Place::Image(digest),
            }
        };
        images.iter().map(item).collect()
    }

    /// Takes the forms of the results of steps out of `blobs`.
    fn step_items(
        &self,
        images: &[Needs<'_>],
        blobs: &mut BTreeMap<Digest, u64>,
    ) -> Result<Vec<Item>, StoreError> {
        let mut uses: HashMap<SnapshotId, Uses> = HashMap::new();
        for path in entries(self.path("cache/steps"))? {
            let Some(record) = document::read::<StepRecord>(&path).filter(|record| record.gone.is_none())
            else {
                continue;
            };
            let uses = uses.entry(record.snapshot).or_default();
            uses.count += 1;
            uses.last = uses.last.max(modified(&path));
            uses.took = uses.took.max(record.took);
            uses.contents.push((record.parent, record.content));
        }
        let item = |snapshot: super::Snapshot| {
            let users: Vec<_> =
                images.iter().filter(|image| image.marked.snapshots.contains(&snapshot.id)).collect();
            let uses = uses.remove(&snapshot.id).unwrap_or_default();
            let packed = snapshot.meta.diff_id.into_iter().chain(snapshot.clamped.iter().map(|l| l.diff_id));
            let forms: BTreeSet<Digest> = packed
                .flat_map(|layer| {
                    let forms = self.layers().blobs_of(layer);
                    forms.into_iter().map(|form| form.digest).chain([layer.0])
                })
                .collect();
            let forms: u64 = forms.iter().filter_map(|form| blobs.remove(form)).sum();
            Item {
                kind: Kind::Step,
                id: snapshot.id.to_string(),
                description: snapshot.meta.description,
                size: snapshot.meta.size + forms,
                // One step has two keys: that of its definition, and that of the content it read.
                shared: users.len() > 1 || distinct(&uses.contents) > 1,
                last_used: uses.last.or(Some(snapshot.meta.created)),
                took: uses.took,
                kept: kept_by(&users, if uses.count == 0 { Kept::Nothing } else { Kept::Cache }),
                place: Place::Step(snapshot.id, uses.contents),
            }
        };
        Ok(self.snapshots().list()?.into_iter().map(item).collect())
    }

    /// Unpacked layers; those that are snapshots take no space of their own.
    fn layer_items(&self, images: &[Needs<'_>], layers: &[LayerDir]) -> Vec<Item> {
        let own = layers.iter().filter(|layer| layer.snapshot.is_none());
        let item = |layer: &LayerDir| {
            let diff_id = layer.meta.diff_id;
            let users: Vec<_> =
                images.iter().filter(|image| image.marked.layers.contains(&diff_id)).collect();
            Item {
                kind: Kind::Layer,
                id: diff_id.0.hex().to_owned(),
                description: "unpacked layer".to_owned(),
                size: layer.meta.size,
                shared: users.len() > 1,
                last_used: modified(&layer.path.with_file_name("meta.json")),
                took: None,
                kept: kept_by(&users, Kept::Nothing),
                place: Place::Needed,
            }
        };
        own.map(item).collect()
    }

    fn directory_items(
        &self,
        name: &str,
        kind: Kind,
        description: &str,
        sizes: Sizes,
    ) -> Result<Vec<Item>, StoreError> {
        let root = self.path(name);
        // Made when the first is: stores of earlier versions have none.
        let found = if root.exists() { entries(root)? } else { Vec::new() };
        let item = |path: PathBuf| Item {
            kind,
            id: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            description: description.to_owned(),
            size: self.directory_size(&path, sizes),
            shared: false,
            last_used: modified(&path),
            took: None,
            kept: Kept::Cache,
            place: Place::Directory(path),
        };
        Ok(found.into_iter().map(item).collect())
    }
}

impl Store {
    /// Bytes of a directory that changes.
    fn directory_size(&self, path: &Path, sizes: Sizes) -> u64 {
        let walked = || tree_size(path, &mut HashSet::new());
        if sizes == Sizes::Exact {
            return walked();
        }
        let noted = self.noted_size(path);
        noted.unwrap_or_else(|| {
            let size = walked();
            // Without the note it is walked again.
            let _ = self.note_size(path, size);
            size
        })
    }

    fn size_path(&self, directory: &Path) -> PathBuf {
        let below = directory.strip_prefix(self.root()).unwrap_or(directory);
        self.path("cache/sizes").join(below.to_string_lossy().replace('/', "-"))
    }

    fn noted_size(&self, directory: &Path) -> Option<u64> {
        document::read(&self.size_path(directory))
    }

    fn note_size(&self, directory: &Path, size: u64) -> Result<(), StoreError> {
        let path = self.size_path(directory);
        let all = self.path("cache/sizes");
        // Stores of earlier versions have none.
        match std::fs::create_dir(&all) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error).at("create", &all),
            _ => self.write_cache(&path, &size),
        }
    }

    /// Looks how large a directory is now, and counts what it has grown.
    pub(super) fn measure(&self, directory: &Path) -> Result<(), StoreError> {
        let _alone = self.lock("size", &directory.to_string_lossy())?;
        let size = tree_size(directory, &mut HashSet::new());
        let before = self.noted_size(directory).unwrap_or(0);
        if size != before {
            self.note_size(directory, size)?;
            self.grow_from(before, size)?;
        }
        Ok(())
    }

    /// Moves a directory aside that changes, and forgets how large it was.
    pub(super) fn discard_directory(&self, directory: &Path) -> Result<(), StoreError> {
        let _ = std::fs::remove_file(self.size_path(directory));
        self.discard(directory)
    }
}

fn kept_by(users: &[&Needs<'_>], otherwise: Kept) -> Kept {
    let names: Vec<String> = users.iter().flat_map(|image| image.names.iter().cloned()).collect();
    match (users.is_empty(), names.is_empty()) {
        (true, _) => otherwise,
        (false, true) => Kept::Unnamed(users.iter().map(|image| image.descriptor.digest).collect()),
        (false, false) => Kept::Named(names),
    }
}

fn distinct(contents: &[(ContentId, ContentId)]) -> usize {
    contents.iter().map(|(parent, _)| parent).collect::<BTreeSet<_>>().len()
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.symlink_metadata().ok()?.modified().ok()
}

/// Bytes of the files in a directory, each file once. What cannot be read counts as nothing.
fn tree_size(path: &Path, seen: &mut HashSet<u64>) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    if metadata.is_dir() {
        let Ok(entries) = std::fs::read_dir(path) else { return 0 };
        return entries.flatten().map(|entry| tree_size(&entry.path(), seen)).sum();
    }
    if metadata.nlink() > 1 && !seen.insert(metadata.ino()) { 0 } else { metadata.len() }
}
