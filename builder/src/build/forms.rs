//! In which forms the outputs of a build want its layers.

use super::BuildError;
use crate::layer::Compression;
use crate::request::{CompressionKind, Output, OutputKind};

/// What is made of a layer while it is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forms {
    /// The tar as it is: for the store, and whatever else is wanted can be made of it.
    Plain,
    /// Compressed alone: nobody wants the tar.
    Compressed(Compression),
    /// Both.
    Both(Compression),
}

impl Forms {
    /// The forms for these outputs; as for the store alone, when none carries layers.
    ///
    /// # Errors
    /// When an output asks for a level that its compression does not have.
    pub(super) fn of(outputs: &[Output]) -> Result<Self, BuildError> {
        let outputs = outputs.iter().filter(|output| output.has_layers());
        let wanted = outputs.map(compression).collect::<Result<Vec<_>, _>>()?;
        let compressed: Vec<_> = wanted.iter().filter(|form| **form != Compression::None).collect();
        Ok(match compressed[..] {
            [] => Self::Plain,
            // A second one is made of the tar.
            [first, ..]
                if compressed.len() < wanted.len() || compressed.iter().any(|other| *other != first) =>
            {
                Self::Both(*first)
            }
            [only, ..] => Self::Compressed(*only),
        })
    }

    /// Whether the tar is kept as it is.
    pub(super) fn plain(self) -> bool {
        !matches!(self, Self::Compressed(_))
    }

    /// What is compressed in the same pass.
    pub(super) fn compressed(self) -> Option<Compression> {
        match self {
            Self::Plain => None,
            Self::Compressed(compression) | Self::Both(compression) => Some(compression),
        }
    }
}

/// The compression of layers that an output carries: what it asks for, or else that of its kind.
pub(super) fn compression(output: &Output) -> Result<Compression, BuildError> {
    let default = match output.kind {
        OutputKind::Oci => CompressionKind::Gzip,
        OutputKind::Image if output.push => CompressionKind::Gzip,
        _ => CompressionKind::Uncompressed,
    };
    let level = output.compression_level.map(i64::from);
    let chosen = match output.compression.unwrap_or(default) {
        CompressionKind::Uncompressed => Ok(Compression::None),
        CompressionKind::Gzip => Compression::gzip(level),
        CompressionKind::Zstd => Compression::zstd(level),
    };
    chosen.map_err(|error| BuildError::Output { what: "image".to_owned(), source: error.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GZIP: Compression = Compression::Gzip { level: Compression::GZIP_LEVEL };
    const ZSTD: Compression = Compression::Zstd { level: Compression::ZSTD_LEVEL };

    fn of(outputs: &[Output]) -> Forms {
        Forms::of(outputs).unwrap()
    }

    #[test]
    fn nothing_is_made_that_no_output_wants() {
        let plain = Output::new(OutputKind::Image);
        let pushed = Output { push: true, ..Output::new(OutputKind::Image) };
        let oci = Output::new(OutputKind::Oci);
        let zstd = Output { compression: Some(CompressionKind::Zstd), ..oci.clone() };
        let tar = Output { compression: Some(CompressionKind::Uncompressed), ..oci.clone() };
        let files = Output::new(OutputKind::Local);
        for (outputs, forms) in [
            (vec![], Forms::Plain),
            (vec![plain.clone()], Forms::Plain),
            (vec![Output::new(OutputKind::Docker)], Forms::Plain),
            (vec![tar], Forms::Plain),
            (vec![pushed.clone()], Forms::Compressed(GZIP)),
            (vec![oci.clone(), files, pushed.clone()], Forms::Compressed(GZIP)),
            (vec![zstd.clone()], Forms::Compressed(ZSTD)),
            (vec![plain, oci.clone()], Forms::Both(GZIP)),
            (vec![zstd, oci.clone()], Forms::Both(ZSTD)),
        ] {
            assert_eq!(of(&outputs), forms, "{outputs:?}");
        }
        let fast = Output { compression_level: Some(1), ..oci.clone() };
        assert_eq!(of(std::slice::from_ref(&fast)), Forms::Compressed(Compression::Gzip { level: 1 }));
        assert_eq!(of(&[fast, oci.clone()]), Forms::Both(Compression::Gzip { level: 1 }));
        let wrong = Output { compression_level: Some(22), ..oci };
        assert!(compression(&wrong).is_err());
    }
}
