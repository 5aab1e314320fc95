//! Counts in messages: `1 page`, `2 pages`.

/// A count with its noun, given in the singular: in the plural unless there is just one.
///
/// ```
/// assert_eq!(gmem_hal::counted(1_u32, "page"), "1 page");
/// assert_eq!(gmem_hal::counted(0_u32, "pass"), "0 passes");
/// assert_eq!(gmem_hal::counted(2_u32, "entry"), "2 entries");
/// ```
#[must_use]
pub fn counted(count: impl Into<u128>, noun: &str) -> String {
    let count: u128 = count.into();
    if count == 1 {
        return format!("1 {noun}");
    }
    let vowel_before = |stem: &str| stem.ends_with(['a', 'e', 'i', 'o', 'u']);
    match noun.strip_suffix('y') {
        Some(stem) if !vowel_before(stem) => format!("{count} {stem}ies"),
        _ if noun.ends_with('s') || noun.ends_with("ch") => format!("{count} {noun}es"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_all_else_plural() {
        for (count, noun, words) in [
            (0, "byte", "0 bytes"),
            (1, "byte", "1 byte"),
            (2, "byte", "2 bytes"),
            (1, "pass", "1 pass"),
            (7, "pass", "7 passes"),
            (2, "launch", "2 launches"),
            (1, "entry", "1 entry"),
            (3, "entry", "3 entries"),
            (2, "key", "2 keys"),
            (2, "storage binding", "2 storage bindings"),
        ] {
            assert_eq!(counted(count as u64, noun), words);
        }
    }
}
