//! `-o type=...,dest=...`.

use super::{SpecError, annotation, fields, pair, truth};
use crate::request::{CompressionKind, Output, OutputKind};
use std::path::{Path, PathBuf};

/// Reads the flag's value. `DIRECTORY` alone is `type=local,dest=DIRECTORY`, and `-` is `type=tar,dest=-`.
///
/// # Errors
/// [`SpecError`] for unknown types and keys, keys that do not go with the type, and values that do not fit their key.
pub fn parse(value: &str) -> Result<Output, SpecError> {
    let fields = fields(value)?;
    if let [field] = fields.as_slice()
        && !field.starts_with("type=")
    {
        return match field.as_str() {
            "" => Err(SpecError::Shape(
                "it is empty; write type=..., a directory, or - for a tar on standard output",
            )),
            "-" => Ok(Output::new(OutputKind::Tar)),
            directory => Ok(Output { dest: Some(directory.into()), ..Output::new(OutputKind::Local) }),
        };
    }
    let mut pairs = Vec::new();
    let mut kind = None;
    for field in &fields {
        match pair(field)? {
            (key, value) if key == "type" => kind = Some(value),
            // Annotation keys are the only ones whose case matters.
            (key, value) if key.starts_with("annotation") => {
                pairs.push((field[..field.len() - value.len() - 1].trim().to_owned(), value));
            }
            pair => pairs.push(pair),
        }
    }
    let name = kind.ok_or(SpecError::Missing { key: "type", why: "it says what to make" })?;
    let (keys, mut output) = of_type(name)?;
    for (key, value) in pairs {
        set(&mut output, name, keys, &key, value)?;
    }
    check(name, output)
}

/// `--push` and `--load` when no output stands for them.
pub fn shorthand(push: bool) -> Output {
    if push {
        Output { push: true, ..Output::new(OutputKind::Image) }
    } else {
        Output { load: true, ..Output::new(OutputKind::Docker) }
    }
}

const IMAGE: &str = "type name push registry.insecure push-by-digest store unpack name-canonical dangling-name-prefix \
danging-name-empty-only compression compression-level force-compression oci-mediatypes rewrite-timestamp annotation.KEY";
const OCI: &str = "type dest name tar compression compression-level force-compression oci-mediatypes \
rewrite-timestamp annotation.KEY";
const DOCKER: &str = "type dest name compression compression-level force-compression oci-mediatypes rewrite-timestamp \
annotation.KEY";
const TAR: &str = "type dest platform-split";
const LOCAL: &str = "type dest platform-split mode";
const NOTHING: &str = "type";

/// The keys a type takes, and the output before they are set.
fn of_type(name: &str) -> Result<(&'static str, Output), SpecError> {
    match name {
        "image" => Ok((IMAGE, Output::new(OutputKind::Image))),
        "registry" => Ok((IMAGE, Output { push: true, ..Output::new(OutputKind::Image) })),
        "oci" => Ok((OCI, Output::new(OutputKind::Oci))),
        "docker" => Ok((DOCKER, Output::new(OutputKind::Docker))),
        "tar" => Ok((TAR, Output::new(OutputKind::Tar))),
        "local" => Ok((LOCAL, Output::new(OutputKind::Local))),
        "cacheonly" => Ok((NOTHING, Output::new(OutputKind::CacheOnly))),
        _ => Err(SpecError::BadValue {
            key: "type".to_owned(),
            value: name.to_owned(),
            want: "write image, registry, oci, docker, tar, local or cacheonly",
        }),
    }
}

fn set(output: &mut Output, kind: &str, keys: &'static str, key: &str, value: &str) -> Result<(), SpecError> {
    let stem = if key.starts_with("annotation") { "annotation.KEY" } else { key };
    if !keys.split(' ').any(|known| known == stem) {
        return Err(not_taken(kind, keys, key));
    }
    let bad = |want| SpecError::BadValue { key: key.to_owned(), value: value.to_owned(), want };
    match key {
        "dest" if value.is_empty() => return Err(bad("write a path")),
        "dest" => output.dest = Some(PathBuf::from(value)),
        "name" => {
            let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
            output.names.extend(names.map(str::to_owned));
        }
        "push" => output.push = truth(key, value)?,
        "registry.insecure" => output.insecure = truth(key, value)?,
        "push-by-digest" => output.push_by_digest = truth(key, value)?,
        "store" => output.store = truth(key, value)?,
        // Every layer of an image in the store is unpacked, so that there is nothing left to do.
        "unpack" => truth(key, value).map(drop)?,
        "name-canonical" => output.name_canonical = truth(key, value)?,
        "dangling-name-prefix" if value.is_empty() => return Err(bad("write a name")),
        "dangling-name-prefix" => output.dangling_prefix = Some(value.to_owned()),
        "danging-name-empty-only" => output.dangling_empty_only = truth(key, value)?,
        "rewrite-timestamp" => output.rewrite_timestamp = Some(truth(key, value)?),
        "platform-split" => output.platform_split = Some(truth(key, value)?),
        "mode" => {
            output.delete = match value {
                "copy" => false,
                "delete" => true,
                _ => return Err(bad("write copy or delete")),
            }
        }
        "tar" => output.tar = truth(key, value)?,
        "force-compression" => output.force_compression = truth(key, value)?,
        "oci-mediatypes" => output.oci_mediatypes = Some(truth(key, value)?),
        "compression" => {
            output.compression = Some(match value {
                "uncompressed" => CompressionKind::Uncompressed,
                "gzip" => CompressionKind::Gzip,
                "zstd" => CompressionKind::Zstd,
                "estargz" | "nydus" => {
                    return Err(SpecError::Refused {
                        what: format!("compression={value}"),
                        why: "write uncompressed, gzip or zstd",
                    });
                }
                _ => return Err(bad("write uncompressed, gzip or zstd")),
            });
        }
        "compression-level" => {
            output.compression_level = Some(value.parse().map_err(|_| bad("write a number"))?);
        }
        key => output.annotations.push(annotation::of_output(key, value)?),
    }
    Ok(())
}

/// Says of a key that this type does not take whether it is known elsewhere, known to BuildKit, or known to nobody.
fn not_taken(kind: &str, keys: &'static str, key: &str) -> SpecError {
    let refused = |why| SpecError::Refused { what: format!("{key}= of an output"), why };
    match key {
        "attestation-inline" | "oci-artifact" => refused("attestations are not made"),
        "compatibility-version" => refused("there is one version"),
        "prefer-nondist-layers" => refused("every layer is distributable"),
        "source-date-epoch" => refused("--build-arg SOURCE_DATE_EPOCH= holds for all outputs"),
        _ if [IMAGE, OCI, LOCAL].iter().any(|known| known.split(' ').any(|known| known == key))
            || key.starts_with("annotation") =>
        {
            SpecError::Conflict {
                key: key.to_owned(),
                with: format!("type={kind}"),
                why: "this type has no such thing",
            }
        }
        _ => SpecError::UnknownKey { key: key.to_owned(), known: keys },
    }
}

/// What can only be seen when all keys are there.
fn check(name: &str, mut output: Output) -> Result<Output, SpecError> {
    let dash = output.dest.as_deref() == Some(Path::new("-"));
    match output.kind {
        OutputKind::Local if output.dest.is_none() => {
            return Err(SpecError::Missing { key: "dest", why: "it says into which directory" });
        }
        OutputKind::Oci if !output.tar && output.dest.is_none() => {
            return Err(SpecError::Missing {
                key: "dest",
                why: "with tar=false it says into which directory",
            });
        }
        OutputKind::Local | OutputKind::Oci if dash && !(output.tar && output.kind == OutputKind::Oci) => {
            return Err(SpecError::Conflict {
                key: "dest".to_owned(),
                with: format!("type={name}"),
                why: "a directory cannot go to standard output",
            });
        }
        // As in docker: without a destination the image goes into the engine of this machine.
        OutputKind::Docker if output.dest.is_none() => output.load = true,
        _ => {}
    }
    if dash {
        output.dest = None;
    }
    if output.push_by_digest && !output.push {
        return Err(SpecError::Conflict {
            key: "push-by-digest".to_owned(),
            with: format!("type={name} without push=true"),
            why: "nothing is pushed",
        });
    }
    let docker_types = output.oci_mediatypes == Some(false);
    if docker_types && output.compression == Some(CompressionKind::Zstd) {
        return Err(SpecError::Conflict {
            key: "compression".to_owned(),
            with: "oci-mediatypes=false".to_owned(),
            why: "Docker's media types have no zstd",
        });
    }
    let Some(level) = output.compression_level else { return Ok(output) };
    let (levels, want) = match output.compression {
        Some(CompressionKind::Zstd) => (1..=22, "write a level from 1 to 22 for zstd"),
        Some(CompressionKind::Uncompressed) => {
            return Err(SpecError::Conflict {
                key: "compression-level".to_owned(),
                with: "compression=uncompressed".to_owned(),
                why: "nothing is compressed",
            });
        }
        Some(CompressionKind::Gzip) | None => (0..=9, "write a level from 0 to 9 for gzip"),
    };
    if levels.contains(&level) {
        Ok(output)
    } else {
        Err(SpecError::BadValue { key: "compression-level".to_owned(), value: level.to_string(), want })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs() {
        use OutputKind::*;
        let new = Output::new;
        let dest = |path: &str| Some(PathBuf::from(path));
        for (text, want) in [
            ("out", Output { dest: dest("out"), ..new(Local) }),
            ("./a=b", Output { dest: dest("./a=b"), ..new(Local) }),
            ("-", new(Tar)),
            ("type=local,dest=out", Output { dest: dest("out"), ..new(Local) }),
            (r#"type=local,"dest=a,b""#, Output { dest: dest("a,b"), ..new(Local) }),
            ("type=tar", new(Tar)),
            ("type=tar,dest=-", new(Tar)),
            ("type=tar,dest=x.tar", Output { dest: dest("x.tar"), ..new(Tar) }),
            ("type=cacheonly", new(CacheOnly)),
            ("type=image", new(Image)),
            ("type=image,push=true", Output { push: true, ..new(Image) }),
            ("type=registry", Output { push: true, ..new(Image) }),
            ("TYPE=registry,Push=0", new(Image)),
            ("type=docker", Output { load: true, ..new(Docker) }),
            ("type=docker,dest=-", new(Docker)),
            (
                "type=docker,dest=x.tar,name=a:1",
                Output { dest: dest("x.tar"), names: vec!["a:1".to_owned()], ..new(Docker) },
            ),
            (
                r#"type=oci,dest=x.tar,"name=a:1, b:2",compression=zstd,compression-level=19"#,
                Output {
                    dest: dest("x.tar"),
                    names: vec!["a:1".to_owned(), "b:2".to_owned()],
                    compression: Some(CompressionKind::Zstd),
                    compression_level: Some(19),
                    ..new(Oci)
                },
            ),
            (
                "type=oci,tar=false,dest=dir,oci-mediatypes=false,force-compression=true",
                Output {
                    dest: dest("dir"),
                    tar: false,
                    oci_mediatypes: Some(false),
                    force_compression: true,
                    ..new(Oci)
                },
            ),
            (
                "type=image,annotation.org.example.Key=a=b",
                Output {
                    annotations: vec![annotation::of_output("annotation.org.example.Key", "a=b").unwrap()],
                    ..new(Image)
                },
            ),
            (
                "type=registry,push-by-digest=true,registry.insecure=1,store=false",
                Output { push: true, push_by_digest: true, insecure: true, store: false, ..new(Image) },
            ),
            (
                "type=image,name-canonical=true,dangling-name-prefix=a,danging-name-empty-only=true,unpack=true",
                Output {
                    name_canonical: true,
                    dangling_prefix: Some("a".to_owned()),
                    dangling_empty_only: true,
                    ..new(Image)
                },
            ),
            (
                "type=local,dest=out,mode=delete,platform-split=false",
                Output { dest: dest("out"), delete: true, platform_split: Some(false), ..new(Local) },
            ),
            ("type=oci,rewrite-timestamp=true", Output { rewrite_timestamp: Some(true), ..new(Oci) }),
        ] {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn refusals() {
        for (text, want) in [
            ("", "it is empty; write type=..., a directory, or - for a tar on standard output"),
            ("dest=x,name=y", "type= is missing: it says what to make"),
            ("type=oci,x", r#""x" is no key=value"#),
            (
                "type=zip",
                r#"type="zip" is not understood: write image, registry, oci, docker, tar, local or cacheonly"#,
            ),
            ("type=local", "dest= is missing: it says into which directory"),
            ("type=oci,tar=false", "dest= is missing: with tar=false it says into which directory"),
            (
                "type=local,dest=-",
                "dest= does not go with type=local: a directory cannot go to standard output",
            ),
            (
                "type=oci,tar=false,dest=-",
                "dest= does not go with type=oci: a directory cannot go to standard output",
            ),
            ("type=image,dest=x", "dest= does not go with type=image: this type has no such thing"),
            ("type=tar,push=true", "push= does not go with type=tar: this type has no such thing"),
            (
                "type=tar,annotation.a=b",
                "annotation.a= does not go with type=tar: this type has no such thing",
            ),
            ("type=cacheonly,colour=red", r#"unknown key "colour"; known here: type"#),
            ("type=tar,dest=", r#"dest="" is not understood: write a path"#),
            ("type=image,push=yes", r#"push="yes" is not understood: write true or false"#),
            (
                "type=image,compression=lz4",
                r#"compression="lz4" is not understood: write uncompressed, gzip or zstd"#,
            ),
            (
                "type=image,compression=nydus",
                "compression=nydus is not supported: write uncompressed, gzip or zstd",
            ),
            (
                "type=image,attestation-inline=true",
                "attestation-inline= of an output is not supported: attestations are not made",
            ),
            (
                "type=image,compression=estargz",
                "compression=estargz is not supported: write uncompressed, gzip or zstd",
            ),
            (
                "type=image,compression-level=10",
                r#"compression-level="10" is not understood: write a level from 0 to 9 for gzip"#,
            ),
            (
                "type=image,compression=zstd,compression-level=0",
                r#"compression-level="0" is not understood: write a level from 1 to 22 for zstd"#,
            ),
            (
                "type=image,compression=uncompressed,compression-level=1",
                "compression-level= does not go with compression=uncompressed: nothing is compressed",
            ),
            (
                "type=image,push-by-digest=true",
                "push-by-digest= does not go with type=image without push=true: nothing is pushed",
            ),
            (
                "type=image,annotation-layer.a=b",
                "annotation=\"layer\" is not understood: annotate manifest, manifest-descriptor, index or index-descriptor",
            ),
            (
                "type=oci,compression=zstd,oci-mediatypes=false",
                "compression= does not go with oci-mediatypes=false: Docker's media types have no zstd",
            ),
            (
                "type=image,compatibility-version=20",
                "compatibility-version= of an output is not supported: there is one version",
            ),
            (
                "type=image,oci-artifact=true",
                "oci-artifact= of an output is not supported: attestations are not made",
            ),
            (
                "type=image,prefer-nondist-layers=true",
                "prefer-nondist-layers= of an output is not supported: every layer is distributable",
            ),
            ("type=docker,push=true", "push= does not go with type=docker: this type has no such thing"),
            ("type=local,dest=x,mode=move", "mode=\"move\" is not understood: write copy or delete"),
            ("type=tar,mode=delete", "mode= does not go with type=tar: this type has no such thing"),
            (
                "type=image,source-date-epoch=0",
                "source-date-epoch= of an output is not supported: --build-arg SOURCE_DATE_EPOCH= holds for all outputs",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text}");
        }
    }
}
