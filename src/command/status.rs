//! `gatehouse status`

use crate::observe::{Status, status_text};

use super::instance::Instance;
use super::{ATTENTION, FAILED};

/// Asks the running instance how it is.
pub(super) fn status(instance: &Instance) -> u8 {
    let json = instance.json;
    let answer = match instance.ask("status") {
        Ok(answer) => answer,
        Err(why) => return fail(&why, json),
    };
    let told = answer.status.as_ref();
    let status = told.and_then(|told| serde_json::from_value::<Status>(told.clone()).ok());
    let (Some(told), Some(status)) = (told, status) else {
        let text = format!("the instance does not tell: {}", answer.text);
        return fail(&text, json);
    };
    if json {
        // As it came: an instance that is newer than this command says more.
        println!("{told}");
    } else {
        print!("{}", status_text(&status));
    }
    if status.troubles.is_empty() { 0 } else { ATTENTION }
}

fn fail(text: &str, json: bool) -> u8 {
    if json {
        println!("{}", serde_json::json!({ "error": text }));
    } else {
        eprintln!("{text}");
    }
    FAILED
}

#[cfg(test)]
mod tests {
    use crate::observe::{
        CertificateStatus, FailureStatus, LimitStatus, ListenerStatus, NameStatus, PoolStatus,
        ServerStatus, SiteStatus, Snapshot, Trouble, metrics,
    };

    use super::*;
    use crate::command::tests::blessed;

    /// Every name of a JSON value, at any depth.
    fn names(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(table) => {
                for (name, inner) in table {
                    found.push(name.clone());
                    names(inner, found);
                }
            }
            serde_json::Value::Array(list) => list.iter().for_each(|inner| names(inner, found)),
            _ => {}
        }
    }

    #[test]
    fn every_name_of_the_json_is_documented() {
        let pool = PoolStatus { servers: vec![ServerStatus::default()], ..PoolStatus::default() };
        let status = Status {
            listeners: vec![ListenerStatus::default()],
            sites: vec![SiteStatus::default()],
            pools: vec![pool],
            names: vec![NameStatus::default()],
            certificates: vec![CertificateStatus::default()],
            limits: vec![LimitStatus::default()],
            failures: vec![FailureStatus::default()],
            troubles: vec![Trouble::default()],
            notes: vec![Trouble::default()],
            ..Status::default()
        };
        let mut found = Vec::new();
        names(&serde_json::to_value(&status).unwrap(), &mut found);
        assert!(found.len() > 50, "{found:?}");
        let page = include_str!("../../appliance/docs/status.md");
        for name in found {
            let plain =
                page.contains(&format!("`{name}`")) || page.contains(&format!("`{name}[]`"));
            assert!(plain, "appliance/docs/status.md does not say what `{name}` is");
        }
    }

    #[test]
    fn the_page_of_metrics_is_up_to_date() {
        let all = Snapshot { kernel_listen: Some((0, 0)), ..Snapshot::default() };
        let mut page = "# Metrics\n\nWhat `/metrics` of the admin page has; made from the code. Seconds and bytes; counters run \
                        from the\nstart of the process and go over reloads. Buckets have fixed bounds, powers of two of a \
                        second from 1 ms to\n2048 s. 2046 sites and as many servers are told apart over the life of the \
                        process; later ones are counted\ntogether as `(other)`. Of a server that is a name, 128 addresses \
                        are; those that DNS gives it later are counted\ntogether as the name with `(other)` behind it, and \
                        `gatehouse status` shows none of these counts.\n\n| metric | kind | what it is |\n| --- | --- | --- |\n"
            .to_owned();
        let text = metrics(&all);
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("# "));
        while let (Some(help), Some(kind)) = (lines.next(), lines.next()) {
            let (name, help) = help.strip_prefix("HELP ").unwrap().split_once(' ').unwrap();
            let kind = kind.rsplit(' ').next().unwrap();
            page += &format!("| `{name}` | {kind} | {help} |\n");
        }
        blessed("docs/metrics.md", &page);
    }
}
