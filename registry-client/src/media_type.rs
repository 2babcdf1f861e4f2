//! Media types of OCI (image-spec media-types.md) and of Docker (schema 2).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

macro_rules! media_types {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A media type; what is not known here is kept as it was.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum MediaType {
            $($(#[$doc])* $name,)*
            /// Anything else.
            Other(String),
        }

        impl MediaType {
            /// The media type as text.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for MediaType {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$name,)*
                    _ => Self::Other(text.to_owned()),
                }
            }
        }
    };
}

media_types! {
    /// An OCI manifest.
    OciManifest = "application/vnd.oci.image.manifest.v1+json",
    /// An OCI index.
    OciIndex = "application/vnd.oci.image.index.v1+json",
    /// An OCI image config.
    OciConfig = "application/vnd.oci.image.config.v1+json",
    /// A layer as a plain tar.
    OciLayer = "application/vnd.oci.image.layer.v1.tar",
    /// A layer as a gzipped tar.
    OciLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip",
    /// A layer as a tar compressed with zstd.
    OciLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd",
    /// A gzipped layer that may be hosted elsewhere.
    OciForeignLayerGzip = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    /// The empty JSON object.
    OciEmpty = "application/vnd.oci.empty.v1+json",
    /// A Docker schema 2 manifest.
    DockerManifest = "application/vnd.docker.distribution.manifest.v2+json",
    /// A Docker manifest list.
    DockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json",
    /// A Docker image config.
    DockerConfig = "application/vnd.docker.container.image.v1+json",
    /// A Docker layer as a plain tar.
    DockerLayer = "application/vnd.docker.image.rootfs.diff.tar",
    /// A Docker layer as a gzipped tar.
    DockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip",
    /// A Docker layer that may be hosted elsewhere.
    DockerForeignLayerGzip = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    /// Docker's first manifest format; refused.
    DockerSchema1 = "application/vnd.docker.distribution.manifest.v1+json",
    /// Docker's first manifest format, signed; refused.
    DockerSchema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws",
}

impl MediaType {
    /// An index or a manifest list.
    pub fn is_index(&self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerManifestList)
    }

    /// A manifest of one image.
    pub fn is_manifest(&self) -> bool {
        matches!(self, Self::OciManifest | Self::DockerManifest)
    }

    /// Whose it is; `None` for what neither has defined.
    pub fn family(&self) -> Option<Family> {
        match self {
            Self::Other(_) => None,
            _ if self.as_str().starts_with("application/vnd.oci.") => Some(Family::Oci),
            _ => Some(Family::Docker),
        }
    }

    /// The same thing's type in a family. OCI has, or allows, a type for everything; Docker has none for layers that are
    /// compressed by zstd and for what is no image.
    pub fn in_family(&self, family: Family) -> Option<Self> {
        let pair = PAIRS.iter().find(|(oci, docker)| self == oci || self == docker);
        match (pair, family) {
            (Some((oci, _)), Family::Oci) => Some(oci.clone()),
            (Some((_, docker)), Family::Docker) => Some(docker.clone()),
            (None, Family::Oci) => Some(self.clone()),
            (None, Family::Docker) => None,
        }
    }
}

/// Types of the same thing.
const PAIRS: [(MediaType, MediaType); 6] = [
    (MediaType::OciManifest, MediaType::DockerManifest),
    (MediaType::OciIndex, MediaType::DockerManifestList),
    (MediaType::OciConfig, MediaType::DockerConfig),
    (MediaType::OciLayer, MediaType::DockerLayer),
    (MediaType::OciLayerGzip, MediaType::DockerLayerGzip),
    (MediaType::OciForeignLayerGzip, MediaType::DockerForeignLayerGzip),
];

/// Whose media types: some registries take one family alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Those of the image-spec.
    Oci,
    /// Those of Docker's schema 2.
    Docker,
}

impl Family {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Oci => Self::Docker,
            Self::Docker => Self::Oci,
        }
    }

    /// The type of manifests.
    pub fn manifest(self) -> MediaType {
        match self {
            Self::Oci => MediaType::OciManifest,
            Self::Docker => MediaType::DockerManifest,
        }
    }

    /// The type of indexes.
    pub fn index(self) -> MediaType {
        match self {
            Self::Oci => MediaType::OciIndex,
            Self::Docker => MediaType::DockerManifestList,
        }
    }

    /// The type of image configs.
    pub fn config(self) -> MediaType {
        match self {
            Self::Oci => MediaType::OciConfig,
            Self::Docker => MediaType::DockerConfig,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Oci => "OCI",
            Self::Docker => "Docker",
        })
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(&*<std::borrow::Cow<'de, str>>::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_distribution::manifest as upstream;

    #[test]
    fn the_same_as_upstream() {
        for (ours, theirs) in [
            (MediaType::OciManifest, upstream::OCI_IMAGE_MEDIA_TYPE),
            (MediaType::OciIndex, upstream::OCI_IMAGE_INDEX_MEDIA_TYPE),
            (MediaType::OciConfig, upstream::IMAGE_CONFIG_MEDIA_TYPE),
            (MediaType::OciLayer, upstream::IMAGE_LAYER_MEDIA_TYPE),
            (MediaType::OciLayerGzip, upstream::IMAGE_LAYER_GZIP_MEDIA_TYPE),
            (MediaType::DockerManifest, upstream::IMAGE_MANIFEST_MEDIA_TYPE),
            (MediaType::DockerManifestList, upstream::IMAGE_MANIFEST_LIST_MEDIA_TYPE),
            (MediaType::DockerConfig, upstream::IMAGE_DOCKER_CONFIG_MEDIA_TYPE),
            (MediaType::DockerLayer, upstream::IMAGE_DOCKER_LAYER_TAR_MEDIA_TYPE),
            (MediaType::DockerLayerGzip, upstream::IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE),
        ] {
            assert_eq!(ours.as_str(), theirs);
            assert_eq!(MediaType::from(theirs), ours);
        }
    }

    #[test]
    fn there_and_back_through_the_families() {
        for (oci, docker) in &PAIRS {
            assert_eq!((oci.family(), docker.family()), (Some(Family::Oci), Some(Family::Docker)));
            for (family, want) in [(Family::Oci, oci), (Family::Docker, docker)] {
                assert_eq!(oci.in_family(family).as_ref(), Some(want));
                assert_eq!(docker.in_family(family).as_ref(), Some(want));
            }
        }
        assert_eq!(MediaType::OciLayerZstd.in_family(Family::Docker), None);
        let unknown = MediaType::from("application/vnd.in-toto+json");
        assert_eq!((unknown.family(), unknown.in_family(Family::Docker)), (None, None));
        assert_eq!(unknown.in_family(Family::Oci).as_ref(), Some(&unknown));
    }
}
