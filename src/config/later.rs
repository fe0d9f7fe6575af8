//! Keys of the contract that nothing implements yet. To set one is a complaint, so that nothing in
//! the file is silently without effect. Implementing a key ends with taking its line out of here.

/// As patterns, with `*` for names; everything below a table that is listed is meant too.
pub(super) const LATER: &[&str] = &["lync"];

/// Values of the contract that nothing implements yet: key, value.
pub(super) const LATER_VALUES: &[(&str, &str)] = &[("affinity", "source"), ("affinity", "cookie")];

/// Whether a key is known, but for later.
pub(super) fn is_later(pattern: &str) -> bool {
    LATER.contains(&pattern)
}

/// Whether a value is known, but for later.
pub(super) fn is_later_value(key: &str, value: &str) -> bool {
    LATER_VALUES.contains(&(key, value))
}

/// Whether a key, with all its tables, is in this version.
pub fn is_available(pattern: &str) -> bool {
    let ends = pattern.match_indices('.').map(|(at, _)| at).chain([pattern.len()]);
    ends.into_iter().all(|end| !is_later(&pattern[..end]))
}

/// Whether a word behind a key is in this version.
pub fn is_available_word(key: &str, word: &str) -> bool {
    // Places of the log begin with their form.
    let word = if key == "access" { word.rsplit(':').next().unwrap_or(word) } else { word };
    !is_later_value(key, word)
}

/// Keys for later that belong into the same table as `pattern`.
pub(super) fn siblings(pattern: &str) -> impl Iterator<Item = &'static str> {
    let table = pattern.rfind('.').map_or("", |dot| &pattern[..=dot]).to_string();
    LATER.iter().filter_map(move |later| {
        later.strip_prefix(table.as_str()).filter(|key| !key.contains('.'))
    })
}
