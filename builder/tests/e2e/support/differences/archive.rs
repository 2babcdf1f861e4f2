//! What two tar archives differ in.

use crate::support::listing::sha256;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use tar::Archive;

/// An entry: everything in its headers, and the hash of its content, by the name that a message gives it.
type Fields = BTreeMap<String, String>;

/// What differs, one line for each entry; for archives with the same entries, where their bytes part.
pub(super) fn differences(ours: &[u8], theirs: &[u8]) -> Vec<String> {
    if ours == theirs {
        return Vec::new();
    }
    let (our_entries, their_entries) = match (entries(ours), entries(theirs)) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(error), _) | (_, Err(error)) => return vec![format!("no whole tar archive: {error}")],
    };
    let mut found = Vec::new();
    let of = |entries: &[(String, Fields)]| entries.iter().cloned().collect::<BTreeMap<_, _>>();
    let (by_name, by_their_name) = (of(&our_entries), of(&their_entries));
    for name in by_name.keys().chain(by_their_name.keys()).collect::<BTreeSet<_>>() {
        match (by_name.get(name), by_their_name.get(name)) {
            (Some(ours), Some(theirs)) => {
                let changed = changed(ours, theirs);
                if !changed.is_empty() {
                    found.push(format!("{name}: {}", changed.join("; ")));
                }
            }
            (Some(_), None) => found.push(format!("{name}: only in the first")),
            _ => found.push(format!("{name}: only in the second")),
        }
    }
    let parting = our_entries.iter().zip(&their_entries).position(|(ours, theirs)| ours.0 != theirs.0);
    if let (true, Some(index)) = (found.is_empty(), parting) {
        let (ours, theirs) = (&our_entries[index].0, &their_entries[index].0);
        found.push(format!("entry {index} is {ours}, and {theirs}: another order"));
    }
    if found.is_empty() {
        let common = ours.iter().zip(theirs).take_while(|(ours, theirs)| ours == theirs).count();
        found.push(format!(
            "the same entries in other bytes: from byte {common} of {}, and {}",
            ours.len(),
            theirs.len()
        ));
    }
    found
}

fn changed(ours: &Fields, theirs: &Fields) -> Vec<String> {
    let keys: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let show = |fields: &Fields, key: &str| fields.get(key).map_or("none", String::as_str).to_owned();
    keys.into_iter()
        .filter(|key| ours.get(*key) != theirs.get(*key))
        .map(|key| format!("{key} {}, and {}", show(ours, key), show(theirs, key)))
        .collect()
}

/// The entries in their order.
fn entries(archive: &[u8]) -> io::Result<Vec<(String, Fields)>> {
    let mut found = Vec::new();
    for entry in Archive::new(archive).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.display().to_string();
        let fields = fields(&mut entry)?;
        found.push((name, fields));
    }
    Ok(found)
}

fn fields(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Fields> {
    let header = entry.header().clone();
    let mut fields = Fields::new();
    let mut put = |key: &str, value: String| fields.insert(key.to_owned(), value);
    put("type", format!("{:?}", header.entry_type()));
    put("mode", format!("{:o}", header.mode()?));
    put("uid", header.uid()?.to_string());
    put("gid", header.gid()?.to_string());
    put("mtime", header.mtime()?.to_string());
    put("size", entry.size().to_string());
    let names =
        [header.username(), header.groupname()].map(|name| name.ok().flatten().unwrap_or("").to_owned());
    put("names", names.join(":"));
    // Major and minor number, which some writers leave out where there is no device.
    put("device", header.as_bytes()[329..345].escape_ascii().to_string());
    if let Some(target) = entry.link_name()? {
        put("target", target.display().to_string());
    }
    let mut extensions = Vec::new();
    if let Some(found) = entry.pax_extensions()? {
        for extension in found {
            let extension = extension?;
            let value = extension.value_bytes().escape_ascii().to_string();
            extensions.push((extension.key().map_err(io::Error::other)?.to_owned(), value));
        }
    }
    fields.extend(extensions);
    fields.insert("content".to_owned(), sha256(entry)?);
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::differences;

    /// An archive of files: name, content, time.
    fn archive(files: &[(&str, &str, u64)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, content, time) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(*time);
            let extension = [("SCHILY.xattr.user.of", content.as_bytes())];
            archive.append_pax_extensions(extension).expect("memory is writable");
            archive.append_data(&mut header, name, content.as_bytes()).expect("memory is writable");
        }
        archive.into_inner().expect("memory is writable")
    }

    #[test]
    fn the_entry_that_differs_is_named() {
        let ours = archive(&[("a", "1", 7), ("b", "2", 7)]);
        assert!(differences(&ours, &ours).is_empty());
        assert_eq!(differences(&ours, &archive(&[("a", "1", 7), ("b", "2", 8)])), ["b: mtime 7, and 8"]);
        assert_eq!(
            differences(&ours, &archive(&[("a", "1", 7), ("c", "2", 7)])),
            ["b: only in the first", "c: only in the second"]
        );
        let [content] = &differences(&ours, &archive(&[("a", "3", 7), ("b", "2", 7)]))[..] else {
            panic!("one line")
        };
        assert!(content.starts_with("a: SCHILY.xattr.user.of 1, and 3; content 6b86"), "{content}");
        assert_eq!(
            differences(&ours, &archive(&[("b", "2", 7), ("a", "1", 7)])),
            ["entry 0 is a, and b: another order"]
        );
    }

    #[test]
    fn bytes_that_are_in_no_entry_are_found() {
        let ours = archive(&[("a", "1", 7)]);
        let mut longer = ours.clone();
        longer.extend([0; 512]);
        let at = ours.len();
        assert_eq!(
            differences(&ours, &longer),
            [format!("the same entries in other bytes: from byte {at} of {at}, and {}", at + 512)]
        );
        let [cut] = &differences(&ours, &ours[..600])[..] else { panic!("one line") };
        assert!(cut.starts_with("no whole tar archive: "), "{cut}");
    }
}
