//! `gatehouse keys`, `gatehouse schema`: what may stand in the operator's file.

use crate::config::{is_available, is_available_word, nearest};
use crate::document::keys::{self, Key, Otherwise, Present};

use super::{FAILED, REFUSED};

/// What this version takes.
pub(super) const PRESENT: Present<'static> =
    Present { key: &is_available, word: &is_available_word };

/// Prints what a key or table means, or a line for each key there is.
pub(super) fn keys(asked: Option<&str>, json: bool) -> u8 {
    let found = match asked {
        None => keys::patterns().collect(),
        Some(asked) => keys::find(asked),
    };
    if let (Some(asked), true) = (asked, found.is_empty()) {
        let meant = meant(asked);
        let meant = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
        eprintln!("gatehouse: no key or table is called `{asked}`{meant}");
        eprintln!("  help: `gatehouse keys` lists all");
        return REFUSED;
    }
    for (at, (pattern, key)) in found.iter().enumerate() {
        if json {
            println!("{}", as_json(pattern, key));
        } else if asked.is_some() {
            let gap = if at > 0 { "\n" } else { "" };
            print!("{gap}{}", keys::entry(pattern, key, PRESENT));
        } else if !key.is_table() {
            let absent = if is_available(pattern) { "" } else { " (not in this version)" };
            let name = pattern.replace('*', "NAME");
            println!("{name:<42} {}{absent}", keys::default_at(pattern, key));
        }
    }
    0
}

/// The nearest pattern; where only the last part is given, the nearest last part.
fn meant(asked: &str) -> Option<String> {
    if !asked.contains('.') {
        return nearest(asked, keys::all().map(Key::name)).map(str::to_string);
    }
    // Names are the operator's own: they count as right.
    let asked: Vec<&str> = asked.split('.').collect();
    let named = keys::patterns().filter_map(|(pattern, _)| {
        let parts: Vec<&str> = pattern.split('.').collect();
        let name = |(at, part): (usize, &&str)| match (*part, asked.get(at)) {
            ("*", Some(name)) => (*name).to_string(),
            (part, _) => part.to_string(),
        };
        let parts: Vec<String> = parts.iter().enumerate().map(name).collect();
        (parts.len() == asked.len()).then(|| parts.join("."))
    });
    let named: Vec<String> = named.collect();
    nearest(&asked.join("."), named.iter().map(String::as_str)).map(str::to_string)
}

fn as_json(pattern: &str, key: &Key) -> String {
    let default = match key.otherwise {
        Otherwise::Value(value) => Some(value),
        _ => None,
    };
    let value = serde_json::json!({
        "key": pattern,
        "table": key.is_table(),
        "takes": key.takes(),
        "default": default,
        "otherwise": key.default_words(),
        "meaning": key.meaning,
        "when": key.advice,
        "example": key.example,
        "available": is_available(pattern),
    });
    value.to_string()
}

/// Prints all of them as a page.
pub(super) fn page() -> u8 {
    match keys::page(PRESENT) {
        Ok(text) => {
            print!("{text}");
            0
        }
        Err(_) => FAILED,
    }
}

/// Prints the schema for editors.
pub(super) fn schema() -> u8 {
    print!("{}", schema_text());
    0
}

fn schema_text() -> String {
    format!("{:#}\n", keys::schema(PRESENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_up_to_date() {
        super::super::tests::blessed("docs/configuration.md", &keys::page(PRESENT).unwrap());
    }

    #[test]
    fn the_schema_is_up_to_date() {
        super::super::tests::blessed("gatehouse.schema.json", &schema_text());
    }

    #[test]
    fn what_was_meant() {
        assert_eq!(meant("respnse_head").as_deref(), Some("response_head"));
        assert_eq!(meant("pool.web.blance").as_deref(), Some("pool.web.balance"));
        assert_eq!(meant("timeuots.connect").as_deref(), Some("timeouts.connect"));
        assert_eq!(meant("zebra.crossing"), None);
    }
}
