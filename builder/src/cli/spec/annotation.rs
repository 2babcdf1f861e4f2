//! `--annotation [PLACE[,PLACE...]:]KEY=VALUE`, and `annotation-PLACE[PLATFORM].KEY=VALUE` of an output.

use super::SpecError;
use crate::request::{Annotation, AnnotationPlace};

/// What one flag asks for.
pub type Annotations = Vec<Annotation>;

/// Reads the value of `--annotation`: `KEY=VALUE` annotates the manifest; `index,manifest[linux/arm64]:KEY=VALUE` both of
/// these. One annotation for each place.
///
/// # Errors
/// [`SpecError`] for unknown places, platforms that are none, an index of a platform, and an empty key.
pub fn parse(value: &str) -> Result<Annotations, SpecError> {
    let (name, value) = value.split_once('=').ok_or(SpecError::Shape("write KEY=VALUE"))?;
    let (places, key) = match name.split_once(':') {
        Some((places, key)) if places.split(',').all(looks_like_place) => (places, key),
        // A colon may be in a key, too.
        _ => ("manifest", name),
    };
    places.split(',').map(|place| annotation(place, key, value)).collect()
}

/// Reads a key of an output that begins with `annotation`.
///
/// # Errors
/// As [`parse`].
pub fn of_output(name: &str, value: &str) -> Result<Annotation, SpecError> {
    let malformed = || SpecError::BadValue {
        key: name.to_owned(),
        value: value.to_owned(),
        want: "write annotation.KEY=VALUE or annotation-PLACE[PLATFORM].KEY=VALUE",
    };
    let rest = name.strip_prefix("annotation").ok_or_else(malformed)?;
    let (place, key) = match rest.split_once("].") {
        Some((place, key)) if place.contains('[') && !place.contains('.') => (format!("{place}]"), key),
        _ => rest.split_once('.').map(|(place, key)| (place.to_owned(), key)).ok_or_else(malformed)?,
    };
    let place = match place.strip_prefix('-') {
        Some(place) => place.to_owned(),
        None if place.is_empty() || place.starts_with('[') => format!("manifest{place}"),
        None => return Err(malformed()),
    };
    annotation(&place, key, value)
}

/// Whether this is `word` or `word[platform]`.
fn looks_like_place(text: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    match text.split_once('[') {
        Some((name, platform)) => word(name) && platform.ends_with(']'),
        None => word(text),
    }
}

fn annotation(place: &str, key: &str, value: &str) -> Result<Annotation, SpecError> {
    let (name, platform) = match place.split_once('[') {
        Some((name, rest)) => (name, rest.strip_suffix(']')),
        None => (place, None),
    };
    let place = match name {
        "manifest" => AnnotationPlace::Manifest,
        "manifest-descriptor" => AnnotationPlace::ManifestDescriptor,
        "index" => AnnotationPlace::Index,
        "index-descriptor" => AnnotationPlace::IndexDescriptor,
        _ => {
            return Err(SpecError::BadValue {
                key: "annotation".to_owned(),
                value: name.to_owned(),
                want: "annotate manifest, manifest-descriptor, index or index-descriptor",
            });
        }
    };
    let of_index = matches!(place, AnnotationPlace::Index | AnnotationPlace::IndexDescriptor);
    if of_index && platform.is_some() {
        return Err(SpecError::Shape("an index is for all platforms: leave the [PLATFORM] out"));
    }
    let platform = platform
        .map(|text| {
            text.parse().map_err(|_| SpecError::BadValue {
                key: "annotation".to_owned(),
                value: text.to_owned(),
                want: "write a platform, as in linux/arm64",
            })
        })
        .transpose()?;
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(SpecError::Shape("the key of an annotation is a word"));
    }
    Ok(Annotation { place, platform, key: key.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use AnnotationPlace::*;

    fn plain(place: AnnotationPlace, platform: &str, key: &str, value: &str) -> Annotation {
        let platform = (!platform.is_empty()).then(|| platform.parse().unwrap());
        Annotation { place, platform, key: key.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn flags() {
        for (text, want) in [
            ("a.b=c=d", vec![plain(Manifest, "", "a.b", "c=d")]),
            ("a=", vec![plain(Manifest, "", "a", "")]),
            ("index:a=b", vec![plain(Index, "", "a", "b")]),
            ("org.example:x=y", vec![plain(Manifest, "", "org.example:x", "y")]),
            (
                "index,manifest[linux/arm64/v8],manifest-descriptor:a=b",
                vec![
                    plain(Index, "", "a", "b"),
                    plain(Manifest, "linux/arm64", "a", "b"),
                    plain(ManifestDescriptor, "", "a", "b"),
                ],
            ),
            ("index-descriptor:a=b", vec![plain(IndexDescriptor, "", "a", "b")]),
        ] {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
        for (text, want) in [
            ("a", "write KEY=VALUE"),
            ("=b", "the key of an annotation is a word"),
            ("a b=c", "the key of an annotation is a word"),
            (
                "layer:a=b",
                "annotation=\"layer\" is not understood: annotate manifest, manifest-descriptor, index or index-descriptor",
            ),
            ("index[linux/amd64]:a=b", "an index is for all platforms: leave the [PLATFORM] out"),
            (
                "manifest[a/b/c/d]:a=b",
                "annotation=\"a/b/c/d\" is not understood: write a platform, as in linux/arm64",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text}");
        }
    }

    #[test]
    fn keys_of_outputs() {
        for (key, want) in [
            ("annotation.a.b", plain(Manifest, "", "a.b", "v")),
            ("annotation[linux/arm64].a.b", plain(Manifest, "linux/arm64", "a.b", "v")),
            ("annotation-manifest.a", plain(Manifest, "", "a", "v")),
            ("annotation-manifest-descriptor[arm64].a", plain(ManifestDescriptor, "linux/arm64", "a", "v")),
            ("annotation-index.a", plain(Index, "", "a", "v")),
            ("annotation-index-descriptor.a", plain(IndexDescriptor, "", "a", "v")),
            ("annotation.a[x].b", plain(Manifest, "", "a[x].b", "v")),
        ] {
            assert_eq!(of_output(key, "v"), Ok(want), "{key}");
        }
        for key in
            ["annotation", "annotation.", "annotation-x.a", "annotations.a", "annotation-index[arm64].a"]
        {
            assert!(of_output(key, "v").is_err(), "{key}");
        }
    }
}
