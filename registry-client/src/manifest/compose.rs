//! Indexes made of images that exist already, and changed afterwards.

use super::Index;
use crate::{descriptor::Descriptor, digest::Digest, media_type::MediaType, platform::Platform};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// The annotation by which BuildKit's attestations name their image.
const ATTESTS: &str = "vnd.docker.reference.digest";

/// Why an index cannot be made or changed so.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ComposeError {
    /// Whoever pulled it would get either.
    #[error("{first} and {second} are two images for {platform}; an index has one for each platform")]
    SamePlatform {
        /// The platform.
        platform: String,
        /// Where the first comes from.
        first: String,
        /// Where the second comes from.
        second: String,
    },
    /// Docker's manifest lists have no annotations.
    #[error("a Docker manifest list has no annotations; make an OCI index (--oci)")]
    DockerAnnotations,
    /// Nothing fits.
    #[error("the index has no entry {wanted}; it has {}", if available.is_empty() { "none".to_owned() } else { available.join(", ") })]
    NoEntry {
        /// What was wanted.
        wanted: String,
        /// What there is.
        available: Vec<String>,
    },
    /// More than one fits.
    #[error("{wanted} fits several entries of the index: {}; name one by its digest", fitting.join(", "))]
    SeveralEntries {
        /// What was wanted.
        wanted: String,
        /// What fits.
        fitting: Vec<String>,
    },
}

/// What one source brings to an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// Its name, for messages.
    pub name: String,
    /// Its entries: an image, or all of an index.
    pub entries: Vec<Descriptor>,
}

/// Which entry of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryName {
    /// The one for this platform, exactly.
    Platform(Platform),
    /// The one with this digest.
    Digest(Digest),
}

impl FromStr for EntryName {
    type Err = crate::platform::PlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(digest) => Ok(Self::Digest(digest)),
            Err(_) => Ok(Self::Platform(text.parse()?)),
        }
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform(platform) => platform.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl Index {
    /// Puts what `contributions` bring into one index. An image of theirs takes the place of the one for the same platform
    /// in `base`, with its attestations.
    ///
    /// It is a Docker manifest list if all entries are Docker's and `oci` is not set; else an OCI index.
    ///
    /// # Errors
    /// [`ComposeError::SamePlatform`] if two contributions have different images for one platform.
    pub fn compose(
        base: Option<Self>,
        contributions: &[Contribution],
        oci: bool,
    ) -> Result<Self, ComposeError> {
        let mut index = base.unwrap_or_else(Self::empty);
        let mut added: Vec<(&str, &Descriptor)> = Vec::new();
        for Contribution { name, entries } in contributions {
            for entry in entries {
                if added.iter().any(|(_, known)| known.digest == entry.digest) {
                    continue;
                }
                if let Some(platform) = platform_of(entry)
                    && let Some((first, _)) =
                        added.iter().find(|(_, known)| platform_of(known).as_ref() == Some(&platform))
                {
                    return Err(ComposeError::SamePlatform {
                        platform: platform.to_string(),
                        first: (*first).to_owned(),
                        second: name.clone(),
                    });
                }
                added.push((name, entry));
            }
        }
        for (_, entry) in added {
            let platform = platform_of(entry);
            let replaced: Vec<Digest> = index
                .manifests
                .iter()
                .filter(|known| {
                    known.digest == entry.digest || platform.is_some() && platform_of(known) == platform
                })
                .map(|known| known.digest)
                .collect();
            index.manifests.retain(|known| {
                let attests = known.annotations.get(ATTESTS).and_then(|digest| digest.parse().ok());
                let of_replaced = |digest: &Digest| replaced.contains(digest) && *digest != entry.digest;
                !replaced.contains(&known.digest) && !attests.is_some_and(|digest| of_replaced(&digest))
            });
            index.manifests.push(entry.clone());
        }
        let of_docker = |entry: &Descriptor| {
            matches!(entry.media_type, MediaType::DockerManifest | MediaType::DockerManifestList)
        };
        let docker = !oci
            && index.annotations.is_empty()
            && !index.manifests.is_empty()
            && index.manifests.iter().all(|entry| of_docker(entry) && entry.annotations.is_empty());
        index.media_type = Some(if docker { MediaType::DockerManifestList } else { MediaType::OciIndex });
        Ok(index)
    }

    /// An index of nothing.
    pub fn empty() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::OciIndex),
            artifact_type: None,
            manifests: Vec::new(),
            unreadable: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
            extra: serde_json::Map::new(),
        }
    }

    /// The one entry that is meant, to be changed.
    ///
    /// # Errors
    /// If there is none, or several.
    pub fn entry_mut(&mut self, wanted: &EntryName) -> Result<&mut Descriptor, ComposeError> {
        let fits = |entry: &Descriptor| match wanted {
            EntryName::Digest(digest) => entry.digest == *digest,
            EntryName::Platform(platform) => {
                platform_of(entry).is_some_and(|have| have == platform.clone().normalized())
            }
        };
        let fitting: Vec<usize> = (0..self.manifests.len()).filter(|at| fits(&self.manifests[*at])).collect();
        match fitting[..] {
            [at] => Ok(&mut self.manifests[at]),
            [] => Err(ComposeError::NoEntry {
                wanted: wanted.to_string(),
                available: self.manifests.iter().map(shown).collect(),
            }),
            _ => Err(ComposeError::SeveralEntries {
                wanted: wanted.to_string(),
                fitting: fitting.iter().map(|at| self.manifests[*at].digest.to_string()).collect(),
            }),
        }
    }

    /// Whether its media type is Docker's.
    pub fn is_of_docker(&self) -> bool {
        self.media_type == Some(MediaType::DockerManifestList)
    }

    /// Adds annotations to the index itself.
    ///
    /// # Errors
    /// [`ComposeError::DockerAnnotations`].
    pub fn annotate(&mut self, annotations: &BTreeMap<String, String>) -> Result<(), ComposeError> {
        if self.is_of_docker() && !annotations.is_empty() {
            return Err(ComposeError::DockerAnnotations);
        }
        self.annotations.extend(annotations.clone());
        Ok(())
    }
}

/// The platform of an image; none of attestations and of entries that do not say.
fn platform_of(entry: &Descriptor) -> Option<Platform> {
    let platform = entry.platform.clone()?.normalized();
    (platform.os != "unknown" && !entry.annotations.contains_key(ATTESTS)).then_some(platform)
}

fn shown(entry: &Descriptor) -> String {
    platform_of(entry).map_or_else(|| entry.digest.to_string(), |platform| platform.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(content: &str, platform: &str, media_type: MediaType) -> Descriptor {
        let mut entry = Descriptor::of(media_type, content.as_bytes());
        entry.platform = (!platform.is_empty()).then(|| match platform {
            "unknown" => Platform { architecture: "unknown".into(), ..Platform::new("unknown", "unknown") },
            platform => platform.parse().unwrap(),
        });
        entry
    }

    fn oci(content: &str, platform: &str) -> Descriptor {
        entry(content, platform, MediaType::OciManifest)
    }

    fn attestation(content: &str, of: &Descriptor) -> Descriptor {
        let mut entry = oci(content, "unknown");
        entry.annotations.insert(ATTESTS.to_owned(), of.digest.to_string());
        entry
    }

    fn from(name: &str, entries: Vec<Descriptor>) -> Contribution {
        Contribution { name: name.to_owned(), entries }
    }

    #[test]
    fn images_become_an_index() {
        let (amd64, arm64) = (oci("a", "linux/amd64"), oci("b", "linux/arm64"));
        let contributions = [from("x", vec![amd64.clone()]), from("y", vec![arm64.clone(), amd64.clone()])];
        let index = Index::compose(None, &contributions, false).unwrap();
        assert_eq!(index.manifests, [amd64.clone(), arm64.clone()]);
        assert_eq!(index.media_type, Some(MediaType::OciIndex));

        let other = from("z", vec![oci("c", "linux/arm64/v8")]);
        let error = Index::compose(None, &[from("y", vec![arm64]), other], false).unwrap_err().to_string();
        assert_eq!(error, "y and z are two images for linux/arm64; an index has one for each platform");
    }

    #[test]
    fn an_image_takes_the_place_of_the_old_one() {
        let (old, kept) = (oci("old", "linux/amd64"), oci("kept", "linux/arm64"));
        let base = Index {
            manifests: vec![
                old.clone(),
                kept.clone(),
                attestation("of old", &old),
                attestation("of kept", &kept),
            ],
            ..Index::empty()
        };
        let new = oci("new", "linux/amd64");
        let entries = vec![new.clone(), attestation("of new", &new)];
        let index = Index::compose(Some(base.clone()), &[from("x", entries.clone())], false).unwrap();
        let want = [kept.clone(), attestation("of kept", &kept), entries[0].clone(), entries[1].clone()];
        assert_eq!(index.manifests, want);
        // The same image again keeps what attests it.
        let again = Index::compose(Some(base), &[from("x", vec![old.clone()])], false).unwrap();
        assert!(again.manifests.contains(&attestation("of old", &old)));
    }

    #[test]
    fn docker_stays_docker() {
        let docker = |content: &str, platform: &str| entry(content, platform, MediaType::DockerManifest);
        let images =
            [from("x", vec![docker("a", "linux/amd64")]), from("y", vec![docker("b", "linux/arm64")])];
        let list = Index::compose(None, &images, false).unwrap();
        assert_eq!(list.media_type, Some(MediaType::DockerManifestList));
        let some = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        assert_eq!(list.clone().annotate(&some), Err(ComposeError::DockerAnnotations));
        let mut index = Index::compose(None, &images, true).unwrap();
        assert_eq!(index.media_type, Some(MediaType::OciIndex));
        index.annotate(&some).unwrap();
        assert_eq!(index.annotations, some);
        let mixed = [images[0].clone(), from("z", vec![oci("c", "linux/s390x")])];
        assert_eq!(Index::compose(None, &mixed, false).unwrap().media_type, Some(MediaType::OciIndex));
    }

    #[test]
    fn entries_are_found() {
        let first = oci("a", "linux/arm64");
        let mut index =
            Index { manifests: vec![first.clone(), oci("b", "linux/amd64"), oci("c", "")], ..Index::empty() };
        let mut find = |text: &str| {
            let wanted: EntryName = text.parse().unwrap();
            index.entry_mut(&wanted).map(|entry| entry.digest).map_err(|error| error.to_string())
        };
        assert_eq!(find("linux/arm64/v8"), Ok(first.digest));
        assert_eq!(find(&first.digest.to_string()), Ok(first.digest));
        let error = find("linux/s390x").unwrap_err();
        assert!(
            error.starts_with("the index has no entry linux/s390x; it has linux/arm64, linux/amd64, sha256:"),
            "{error}"
        );
        index.manifests.push(oci("d", "linux/amd64"));
        let error = index.entry_mut(&"linux/amd64".parse().unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("linux/amd64 fits several entries"), "{error}");
    }

    #[test]
    fn nothing_but_what_is_changed_changes() {
        let mut json = serde_json::to_value(Index {
            manifests: vec![oci("a", "linux/amd64"), oci("b", "linux/arm64")],
            ..Index::empty()
        })
        .unwrap();
        json["future"] = serde_json::json!({ "of": "the index" });
        json["manifests"][0]["future"] = "of the entry".into();
        json["manifests"][0]["platform"]["features"] = serde_json::json!(["sse4"]);
        let mut index: Index = serde_json::from_value(json.clone()).unwrap();
        let entry = index.entry_mut(&"linux/amd64".parse().unwrap()).unwrap();
        entry.platform.as_mut().unwrap().variant = Some("v3".to_owned());
        index.annotate(&BTreeMap::from([("a".to_owned(), "b".to_owned())])).unwrap();
        json["manifests"][0]["platform"]["variant"] = "v3".into();
        json["annotations"]["a"] = "b".into();
        assert_eq!(serde_json::to_value(&index).unwrap(), json);
        // In a new index, too.
        let amended =
            Index::compose(Some(index), &[from("x", vec![oci("c", "linux/s390x")])], false).unwrap();
        let amended = serde_json::to_value(&amended).unwrap();
        assert_eq!((&amended["future"], &amended["manifests"][0]), (&json["future"], &json["manifests"][0]));
    }
}
