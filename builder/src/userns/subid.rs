use std::fmt;

/// One line of a map: ids `inside`.. of the new namespace are `outside`.. of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdRange {
    pub(super) inside: u32,
    pub(super) outside: u32,
    pub(super) count: u32,
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.inside, self.outside, self.count)
    }
}

/// The kernel takes so many lines in a map (`user_namespaces(7)`).
const MAX_LINES: usize = 340;

/// The map for `own` as 0, then the ranges that `file` (`/etc/subuid` or `/etc/subgid`, `subuid(5)`) gives to the user
/// called `name` with the number `uid`. Just the first line when it gives none.
pub(super) fn map(own: u32, file: &str, name: Option<&str>, uid: u32) -> Vec<IdRange> {
    let number = uid.to_string();
    let mut map = vec![IdRange { inside: 0, outside: own, count: 1 }];
    let mut next = 1u32;
    for line in file.lines() {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let [owner, start, count] = fields[..] else { continue };
        if owner != number && Some(owner) != name {
            continue;
        }
        let (Ok(outside), Ok(count)) = (start.parse::<u32>(), count.parse::<u32>()) else { continue };
        let ends_inside = next.checked_add(count).is_some() && outside.checked_add(count).is_some();
        if count == 0 || !ends_inside || map.len() == MAX_LINES {
            continue;
        }
        map.push(IdRange { inside: next, outside, count });
        next += count;
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_one_another() {
        let file = "other:1:2\nme:100000:65536\n# note\n1000:500000:10\nme:bad:10\nme:1:0\nme:5\n";
        let range = |inside, outside, count| IdRange { inside, outside, count };
        let want = [range(0, 1000, 1), range(1, 100000, 65536), range(65537, 500000, 10)];
        assert_eq!(map(1000, file, Some("me"), 1000), want);
        assert_eq!(map(1000, file, None, 7), [range(0, 1000, 1)]);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let file = "me:4294967290:100\nme:1:4294967295\nme:10:4294967294\nme:20:5\n";
        let map = map(1, file, Some("me"), 1);
        assert_eq!(map[1..], [IdRange { inside: 1, outside: 20, count: 5 }]);
    }
}
