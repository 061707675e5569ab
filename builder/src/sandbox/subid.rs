//! The files that say which ids a user may map: `subuid(5)`, `subgid(5)` and `/proc/PID/uid_map`.

/// Consecutive ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// The first.
    pub(super) start: u32,
    /// How many.
    pub(super) count: u32,
}

/// The ranges that `text`, in the form of `subuid(5)`, gives to the user, by name or by number.
pub(super) fn ranges(text: &str, user: &str, uid: u32) -> Vec<Range> {
    let number = uid.to_string();
    let line = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let range = Range { start: fields.next()?.parse().ok()?, count: fields.next()?.parse().ok()? };
        (owner == user || owner == number).then_some(range)
    };
    text.lines().filter_map(line).collect()
}

/// The first `wanted` ids of a namespace in the pieces in which it maps them, from the text of its `uid_map` or `gid_map`;
/// fewer where there is a gap. The kernel takes no map of which one line spans several pieces.
pub(super) fn from_zero(text: &str, wanted: u32) -> Vec<Range> {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace().map(str::parse);
        let (start, _outside, count) = (fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?);
        Some(Range { start, count })
    };
    let mut mapped: Vec<Range> = text.lines().filter_map(line).collect();
    mapped.sort_unstable_by_key(|range| range.start);
    let mut end = 0;
    mapped.retain_mut(|range| {
        let next = range.start == end && end < wanted;
        if next {
            range.count = range.count.min(wanted - end);
            end += range.count;
        }
        next
    });
    mapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_number_and_others_are_not() {
        let text = "alice:100000:65536\nbob:165536:65536\n1000:300000:1000\nbroken:x:1\n\n";
        let found = [Range { start: 100_000, count: 65536 }, Range { start: 300_000, count: 1000 }];
        assert_eq!(ranges(text, "alice", 1000), found);
        assert_eq!(ranges(text, "carol", 1001), []);
    }

    #[test]
    fn takes_the_ids_up_to_the_first_gap() {
        let of = |start, count| Range { start, count };
        assert_eq!(from_zero("         0          0 4294967295\n", 65536), [of(0, 65536)]);
        assert_eq!(from_zero("1 100000 65536\n0 1000 1\n", 65536), [of(0, 1), of(1, 65535)]);
        assert_eq!(from_zero("0 1000 1\n2 100000 65535\n", 65536), [of(0, 1)]);
        assert_eq!(from_zero("", 65536), []);
    }
}
