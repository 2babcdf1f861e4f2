//! `images`: what is in the store.

use super::format::{Format, format};
use crate::cli::failure::Failure;
use crate::cli::{local, table};
use crate::image::StoredImage;
use crate::progress::bytes;
use crate::store::Store;
use registry_client::descriptor::Descriptor;
use registry_client::digest::Digest;
use registry_client::platform::Platform;
use registry_client::reference::Reference;
use std::collections::BTreeSet;
use std::io::Write;
use std::time::SystemTime;

/// Flags of `build images`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Show only this repository, or this NAME:TAG
    #[arg(value_name = "NAME[:TAG]")]
    pub name: Option<String>,

    /// Show image IDs alone
    #[arg(short, long)]
    pub quiet: bool,

    /// Show image IDs in full
    #[arg(long)]
    pub no_trunc: bool,

    /// Show the platforms of each image below it
    #[arg(long)]
    pub tree: bool,

    /// Show manifest digests
    #[arg(long)]
    pub digests: bool,

    /// table, json, or a template as in '{{.ID}} {{.Size}}'; table before a template makes columns
    #[arg(long, value_parser = format, default_value = "table", value_name = "FORMAT")]
    pub format: Format,
}

/// Lists.
///
/// # Errors
/// When the store or standard output fails. An image that cannot be read is listed without what is not known of it.
pub fn run(args: &Args, store: &Store, out: &mut dyn Write, now: SystemTime) -> Result<(), Failure> {
    let wanted = args.name.as_deref().map(Wanted::parse).transpose()?;
    let mut rows = Vec::new();
    for entry in store.images().list()? {
        let reference = entry.name.as_deref().and_then(|name| name.parse::<Reference>().ok());
        if wanted.as_ref().is_some_and(|wanted| !wanted.fits(reference.as_ref())) {
            continue;
        }
        let mut row = Row::of(store, &entry.descriptor, reference.as_ref(), now);
        if args.tree || args.format != Format::Table {
            row.platforms = platforms(store, &entry.descriptor);
        }
        rows.push(row);
    }
    // As docker: the newest first.
    rows.sort_by(|one, other| other.created.cmp(&one.created));
    if args.quiet {
        let mut seen = BTreeSet::new();
        for row in rows.iter().filter(|row| seen.insert(row.id)) {
            writeln!(out, "{}", table::id(&row.id, args.no_trunc))?;
        }
        return Ok(());
    }
    match &args.format {
        Format::Table => {
            let mut head = vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
            if args.digests {
                head.insert(2, "DIGEST");
            }
            let cells = rows.iter().flat_map(|row| {
                let platforms = if args.tree { row.platforms.as_slice() } else { &[] };
                std::iter::once(row.cells(args)).chain(platforms.iter().map(|one| one.cells(args)))
            });
            let cells: Vec<_> = cells.collect();
            table::write(out, &head, &cells)?;
        }
        format => {
            let rows: Vec<_> = rows.iter().map(|row| row.json(args.no_trunc)).collect();
            let heads = [("ID", "IMAGE ID"), ("CreatedSince", "CREATED"), ("CreatedAt", "CREATED AT")];
            format.write(&rows, &heads, out)?;
        }
    }
    Ok(())
}

/// Which images: of a repository, or of one tag of it.
struct Wanted {
    reference: Reference,
}

impl Wanted {
    fn parse(text: &str) -> Result<Self, Failure> {
        let reference =
            text.parse().map_err(|source| Failure::Reference { given: text.to_owned(), source })?;
        Ok(Self { reference })
    }

    fn fits(&self, reference: Option<&Reference>) -> bool {
        let Some(reference) = reference else { return false };
        reference.name() == self.reference.name()
            && self.reference.tag().is_none_or(|tag| reference.tag() == Some(tag))
    }
}

/// What an image is on one platform.
struct OnPlatform {
    platform: String,
    digest: Digest,
    /// The image ID and the size, when it is in the store.
    known: Option<(Digest, u64)>,
}

impl OnPlatform {
    fn of(store: &Store, platform: &Platform, manifest: &Descriptor) -> Self {
        let image = local::whole(store, manifest);
        Self {
            platform: platform.to_string(),
            digest: manifest.digest,
            known: image.map(|image| (image.id(), local::size(store, &image))),
        }
    }

    fn size(&self) -> String {
        self.known.map_or("N/A".to_owned(), |(_, size)| bytes::size(size))
    }

    fn cells(&self, args: &Args) -> Vec<String> {
        let id = self.known.map_or("N/A".to_owned(), |(id, _)| table::id(&id, args.no_trunc));
        let mut cells = vec![format!("- {}", self.platform), String::new(), id, String::new(), self.size()];
        if args.digests {
            cells.insert(2, self.digest.to_string());
        }
        cells
    }

    fn json(&self, full: bool) -> serde_json::Value {
        serde_json::json!({
            "Platform": self.platform,
            "Digest": self.digest,
            "ID": self.known.map(|(id, _)| table::id(&id, full)),
            "Size": self.size(),
            "Bytes": self.known.map(|(_, size)| size),
        })
    }
}

/// The platforms of an image; of one without an index, its own.
fn platforms(store: &Store, descriptor: &Descriptor) -> Vec<OnPlatform> {
    let mut entries = local::platforms(store, descriptor);
    if let (true, Ok(image)) = (entries.is_empty(), local::read(store, descriptor)) {
        entries.push((image.config.platform(), descriptor.clone()));
    }
    entries.iter().map(|(platform, manifest)| OnPlatform::of(store, platform, manifest)).collect()
}

struct Row {
    platforms: Vec<OnPlatform>,
    repository: String,
    tag: String,
    digest: Digest,
    id: Digest,
    created: Option<String>,
    since: String,
    size: Option<u64>,
}

const NONE: &str = "<none>";

impl Row {
    fn of(store: &Store, descriptor: &Descriptor, reference: Option<&Reference>, now: SystemTime) -> Self {
        let image = local::read(store, descriptor).ok();
        let created = image.as_ref().and_then(|image| image.config.created.clone());
        let several = descriptor.media_type.is_index();
        Self {
            platforms: Vec::new(),
            repository: reference.map_or(NONE.to_owned(), |name| name.without_identifier().familiar()),
            tag: reference.and_then(Reference::tag).unwrap_or(NONE).to_owned(),
            digest: descriptor.digest,
            id: image.as_ref().filter(|_| !several).map_or(descriptor.digest, StoredImage::id),
            since: table::ago(created.as_deref(), now),
            created,
            size: image.map(|image| local::size(store, &image)),
        }
    }

    fn size(&self) -> String {
        self.size.map_or("N/A".to_owned(), bytes::size)
    }

    fn cells(&self, args: &Args) -> Vec<String> {
        let mut cells = vec![
            self.repository.clone(),
            self.tag.clone(),
            table::id(&self.id, args.no_trunc),
            self.since.clone(),
            self.size(),
        ];
        if args.digests {
            cells.insert(2, self.digest.to_string());
        }
        cells
    }

    fn json(&self, full: bool) -> serde_json::Value {
        serde_json::json!({
            "Repository": self.repository,
            "Tag": self.tag,
            "ID": table::id(&self.id, full),
            "Digest": self.digest,
            "CreatedAt": self.created,
            "CreatedSince": self.since,
            "Size": self.size(),
            "Bytes": self.size,
            "Platforms": self.platforms.iter().map(|one| one.json(full)).collect::<Vec<_>>(),
        })
    }
}
