//! The rows as a JSON schema (draft-07), which editors' plug-ins for TOML read.

use serde_json::{Map, Value, json};

use super::{Key, Kind, Otherwise, Present, children};

/// The schema of the whole file, as far as this version has it.
pub fn schema(present: Present<'_>) -> Value {
    let mut schema = object("", present);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("Gatehouse");
    schema["description"] = json!("The operator's file of Gatehouse: gatehouse.toml");
    schema
}

/// The keys that stand directly in a table.
fn object(table: &str, present: Present<'_>) -> Value {
    let (mut properties, mut needed) = (Map::new(), Vec::new());
    for (pattern, key) in children(table).filter(|(pattern, _)| (present.key)(pattern)) {
        if key.otherwise == Otherwise::Needed {
            needed.push(key.name());
        }
        properties.insert(key.name().to_string(), described(&pattern, key, present));
    }
    let mut object = json!({
        "type": "object", "properties": properties, "additionalProperties": false,
    });
    if !needed.is_empty() {
        object["required"] = json!(needed);
    }
    object
}

fn described(pattern: &str, key: &Key, present: Present<'_>) -> Value {
    let mut value = takes(pattern, key, present);
    value["title"] = json!(key.name());
    value["description"] = json!(format!("{} {}", key.meaning, key.advice).trim_end());
    // In a stronger place the default is what a weaker one says.
    if let (Otherwise::Value(default), true) = (key.otherwise, pattern == key.pattern) {
        value["default"] = from_toml(default);
    }
    value
}

fn takes(pattern: &str, key: &Key, present: Present<'_>) -> Value {
    let words: Vec<&&str> =
        key.words.iter().filter(|word| (present.word)(key.name(), word)).collect();
    let words = json!({ "enum": words });
    let kind = match key.kind {
        Kind::Table | Kind::Inline => return object(pattern, present),
        Kind::Named => return named(pattern, key, present),
        Kind::List => return json!({ "type": "array", "items": object(pattern, present) }),
        Kind::Choice => return words,
        Kind::ChoiceOrTable if (present.word)(key.name(), "cookie") => object(pattern, present),
        Kind::ChoiceOrTable => return words,
        kind => simple(kind, pattern, present),
    };
    if key.words.is_empty() || matches!(key.kind, Kind::Text | Kind::File | Kind::Places) {
        return kind;
    }
    json!({ "anyOf": [words, kind] })
}

fn named(pattern: &str, key: &Key, present: Present<'_>) -> Value {
    let mut tables = json!({
        "type": "object", "additionalProperties": object(pattern, present),
    });
    if !key.words.is_empty() {
        tables["propertyNames"] = json!({ "enum": key.words });
    }
    tables
}

fn simple(kind: Kind, pattern: &str, present: Present<'_>) -> Value {
    const UNIT: &str = "(B|kB|MB|GB|KiB|MiB|GiB)";
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "array", "items": text });
    match kind {
        Kind::Texts => texts,
        Kind::TextOrTexts => json!({ "anyOf": [{ "type": "string" }, texts] }),
        Kind::Names(_) => json!({ "anyOf": [text, texts] }),
        Kind::Places => {
            let place = "^(off|(json|combined):(stdout|journald|syslog|.*/.*))$";
            let text = json!({ "type": "string", "pattern": place });
            json!({ "anyOf": [text, { "type": "array", "items": text }] })
        }
        Kind::NamedTexts => json!({
            "type": "object", "additionalProperties": { "anyOf": [text, texts] },
        }),
        Kind::NamedFiles => json!({
            "type": "object",
            "propertyNames": { "pattern": "^([45][0-9][0-9]|default)$" },
            "additionalProperties": { "type": "string", "pattern": "\\.([hH][tT][mM][lL]|[tT][xX][tT]|[jJ][sS][oO][nN])$" },
        }),
        Kind::Servers => {
            let text = json!({ "type": "string", "pattern": "^.+:[0-9]{1,5}$" });
            json!({ "type": "array", "items": { "anyOf": [text, object(pattern, present)] } })
        }
        Kind::Number(least, most) => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Kind::OneOf(numbers) => json!({ "enum": numbers }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Duration => json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$" }),
        Kind::Size(least, most) => {
            let mut number = json!({ "type": "integer", "minimum": least });
            // TOML's numbers end there, and so do most readers of JSON.
            if most <= 1 << 53 {
                number["maximum"] = json!(most);
            }
            let text = json!({ "type": "string", "pattern": format!("^[0-9]+{UNIT}?$") });
            json!({ "anyOf": [number, text] })
        }
        Kind::Rate => json!({ "type": "string", "pattern": format!("^[0-9]+{UNIT}?/s$") }),
        _ => text,
    }
}

/// A default is written as in the file.
fn from_toml(text: &str) -> Value {
    let table: Option<toml::Table> = format!("it = {text}").parse().ok();
    table.and_then(|table| serde_json::to_value(table.get("it")).ok()).unwrap_or_default()
}
