//! Where a key that was defined twice stood first.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// The span of the first definition of the key at `second`. The tree of the text keeps the first of
/// two keys, but of two headers the last, so those are looked for in the text.
pub(super) fn first(root: &DeTable<'_>, text: &str, second: Range<usize>) -> Option<Range<usize>> {
    let line = text[..second.start].rfind('\n').map_or(0, |index| index + 1);
    if text[line..].trim_start().starts_with('[') {
        return same_header(text, line);
    }
    let mut lines = text[..line].rmatch_indices('\n').map(|(index, _)| index + 1).chain([0]);
    let header = lines.find(|start| text[*start..].trim_start_matches(' ').starts_with('['));
    let mut path = header.map_or(Some(Vec::new()), |header| header_at(text, header))?;
    path.push(key_of(text.get(second.clone())?)?);
    let mut table = root;
    let (last, tables) = path.split_last()?;
    for key in tables {
        table = match table.get(key.as_str())?.get_ref() {
            DeValue::Table(inner) => inner,
            DeValue::Array(list) => before(list.iter(), second.start)?,
            _ => return None,
        };
    }
    let (key, _) = table.get_key_value(last.as_str())?;
    (key.span().end <= second.start).then(|| key.span())
}

/// The header above `second` that opens the same table.
fn same_header(text: &str, second: usize) -> Option<Range<usize>> {
    let path = header_at(text, second)?;
    let last = path.last()?;
    let starts = [0].into_iter().chain(text[..second].match_indices('\n').map(|(at, _)| at + 1));
    // To look whether the name is there at all is quicker than to read every header.
    let mut headers = starts.filter(|start| {
        let line = text[*start..].lines().next().unwrap_or_default();
        line.trim_start().starts_with('[') && line.contains(last.as_str())
    });
    let start = headers.find(|start| header_at(text, *start).as_ref() == Some(&path))?;
    let line = text[start..].lines().next()?.trim_end();
    (start < second).then(|| start..start + line.len())
}

/// Of an array of tables, the one that the position is in.
fn before<'t>(
    list: impl Iterator<Item = &'t toml::Spanned<DeValue<'t>>>,
    position: usize,
) -> Option<&'t DeTable<'t>> {
    match list.take_while(|item| item.span().start < position).last()?.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// The keys of the `[a.b]` or `[[a.b]]` at `start`.
fn header_at(text: &str, start: usize) -> Option<Vec<String>> {
    let line = text[start..].lines().next()?.trim();
    let keys = line.trim_start_matches('[').split(']').next()?;
    path_of(&format!("[{keys}]"))
}

fn key_of(text: &str) -> Option<String> {
    path_of(&format!("[{text}]"))?.pop()
}

fn path_of(header: &str) -> Option<Vec<String>> {
    let tree = DeTable::parse(header).ok()?;
    let (mut path, mut table) = (Vec::new(), tree.get_ref());
    while let Some((key, value)) = table.iter().next() {
        path.push(key.get_ref().to_string());
        let DeValue::Table(inner) = value.get_ref() else { break };
        table = inner;
    }
    Some(path)
}
