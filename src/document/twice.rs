//! Where a key that was defined twice stood first.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// The span of the first definition of the key at `second`, in the tree of the text, which keeps
/// the first of two.
pub(super) fn first(root: &DeTable<'_>, text: &str, second: Range<usize>) -> Option<Range<usize>> {
    let line = text[..second.start].rfind('\n').map_or(0, |index| index + 1);
    let path = if text[line..].trim_start().starts_with('[') {
        header_at(text, line)?
    } else {
        let mut path = text[..line].rmatch_indices('\n').map(|(index, _)| index + 1).chain([0]);
        let mut path =
            match path.find(|start| text[*start..].trim_start_matches(' ').starts_with('[')) {
                Some(header) => header_at(text, header)?,
                None => Vec::new(),
            };
        path.push(key_of(text.get(second.clone())?)?);
        path
    };
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
