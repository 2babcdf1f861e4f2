//! What a build reads that has nothing to do.

use crate::support::bases;
use crate::support::lab::{Lab, as_everyone, entries};
use crate::support::registry::Registry;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

/// Counts how often files are opened.
struct Opens {
    fd: OwnedFd,
    watched: BTreeMap<i32, String>,
}

impl Opens {
    /// Watches the directories, which have names relative to the store.
    fn of(lab: &Lab, directories: impl IntoIterator<Item = String>) -> Opens {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).expect("inotify is there");
        // With the closing between them, two times of opening are no repeated event, which the kernel would leave out.
        let flags = WatchFlags::OPEN | WatchFlags::CLOSE;
        let watch = |name: String| {
            let watch = inotify::add_watch(&fd, lab.store().join(&name), flags);
            (watch.expect("root may watch every directory"), name)
        };
        let watched = directories.into_iter().map(watch).collect();
        Opens { fd, watched }
    }

    /// How often each file in them was opened until now.
    fn count(self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let mut buffer = [const { MaybeUninit::uninit() }; 4096];
        let mut events = inotify::Reader::new(&self.fd, &mut buffer);
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return counts,
                Err(error) => panic!("inotify cannot be read: {error}"),
            };
            assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW), "events were lost");
            if event.events().contains(ReadFlags::OPEN) && !event.events().contains(ReadFlags::ISDIR) {
                let name = event.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
                *counts.entry(format!("{}/{name}", self.watched[&event.wd()])).or_default() += 1;
            }
        }
    }
}

as_everyone!(every_document_of_the_store_is_read_once, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let image = lab.dockerfile("base", &format!("FROM {base}\nRUN touch /second\n"));
    lab.build([Path::new("-t"), Path::new("two:layers"), &image]);
    let mut dockerfile = "FROM two:layers\n".to_owned();
    for number in 0..8 {
        dockerfile.push_str(&format!("RUN touch /{number}\n"));
    }
    let context = lab.dockerfile("context", &format!("{dockerfile}COPY file /file\nWORKDIR /work\n"));
    lab.file("context/file", "content");
    lab.build([&context]);

    let below = |directory: &str| {
        let names = entries(&lab.store().join(directory));
        names.into_iter().map(|name| format!("{directory}/{name}")).collect::<Vec<_>>()
    };
    let (layers, snapshots) = (below("layers"), below("snapshots"));
    // The two of the base, and ten of which each is a snapshot as well.
    assert_eq!((layers.len(), snapshots.len()), (12, 11), "{layers:?} {snapshots:?}");
    let steps = ["cache/steps".to_owned()];
    let opens = Opens::of(lab, layers.into_iter().chain(snapshots).chain(steps));
    lab.build([&context]).assert_all_cached();
    let counts = opens.count();
    let of = |kind: &str| counts.keys().filter(|name| name.starts_with(kind)).count();
    assert_eq!((of("layers/"), of("snapshots/"), of("cache/steps/")), (2, 11, 10), "{counts:#?}");
    let often: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(often.is_empty(), "read more than once: {often:#?}");
});
