//! `gatehouse status`: all is well, or what somebody has to do.

use serde_json::Value;

use crate::rig::name_server::{NameServer, fails, gives};
use crate::rig::{
    Folder, Gatehouse, Origin, Outcome, Real, Wire, free_port, nginx_for_days, run, until,
};

const SITE: &str = "[site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\", \"https\"]\n\
                    certificate = \"a\"\n\
                    [[site.a.rule]]\nname = \"own\"\npath = \"/own\"\nrespond = { status = 200, body = \"own\" }\n\
                    [[site.a.rule]]\nname = \"all\"\npath = \"/\"\npool = \"origin\"\n";

#[track_caller]
fn status(gatehouse: &Gatehouse, more: &[&str]) -> Outcome {
    let socket = gatehouse.folder().at("admin.sock");
    let mut arguments = vec!["status", "--socket", socket.to_str().unwrap()];
    arguments.extend(more);
    run(env!("CARGO_BIN_EXE_gatehouse"), arguments)
}

/// The status as JSON; its exit code says whether there is trouble.
#[track_caller]
fn json(gatehouse: &Gatehouse) -> Value {
    let told = status(gatehouse, &["--json"]);
    let json: Value = serde_json::from_slice(&told.out).unwrap();
    let trouble = !json["troubles"].as_array().unwrap().is_empty();
    assert_eq!(told.status.code(), Some(if trouble { 3 } else { 0 }), "{json:#}");
    json
}

/// Waits for a trouble that is told with these words, and sees that people are told it too.
#[track_caller]
fn expect_trouble(gatehouse: &Gatehouse, what: &str, next: &str) {
    let trouble = until(what, || {
        let json = json(gatehouse);
        let troubles = json["troubles"].as_array().unwrap().clone();
        troubles.into_iter().find(|trouble| trouble["what"].as_str().unwrap().contains(what))
    });
    assert!(trouble["next"].as_str().unwrap().contains(next), "{trouble}");
    let told = status(gatehouse, &[]);
    assert_eq!(told.status.code(), Some(3), "{}", told.text());
    let text = told.text();
    assert!(!text.contains("All is well."), "{text}");
    // Broken into lines.
    let words: Vec<&str> = text.split_whitespace().collect();
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.join(" ").contains(&what), "{text}");
}

fn get(client: &mut Wire, path: &str) -> u16 {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    client.answer().status()
}

/// A server of a pool whose certificate ends in so many days, and a proxy that has not asked it yet.
fn ending(days: i64) -> (Real, Gatehouse) {
    let server = nginx_for_days(days);
    let gatehouse = Gatehouse::publish_secure(&[server.tls], SITE);
    (server, gatehouse)
}

/// What a connection sees is known at once; who is not asked is looked at.
#[test]
fn a_servers_certificate_ends_soon() {
    let (_server, gatehouse) = ending(9);
    assert_eq!(json(&gatehouse)["pools"][0]["servers"][0]["certificate_ends"], Value::Null);
    assert_eq!(get(&mut gatehouse.client(), "/small.txt"), 200);
    expect_trouble(&gatehouse, "ends in 9 days", "`gatehouse doctor origin`");
    let told = json(&gatehouse);
    assert_eq!(told["pools"][0]["servers"][0]["certificate_days_left"], 9, "{told:#}");
    let (_server, gatehouse) = ending(29);
    expect_trouble(&gatehouse, "ends in 29 days", "renew it at the server");
    let (_server, gatehouse) = ending(31);
    let told = until("the look", || {
        let told = json(&gatehouse);
        (told["pools"][0]["servers"][0]["certificate_days_left"] == 31).then_some(told)
    });
    assert_eq!(told["troubles"], serde_json::json!([]));
}

#[test]
fn all_is_well() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], &format!("[workers]\ncount = 2\n{SITE}"));
    let mut client = gatehouse.secure_client();
    assert_eq!(get(&mut client, "/own"), 200);
    client.send("GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut server = origin.accept();
    server.head();
    let told = until("the first exchange", || {
        Some(json(&gatehouse)).filter(|told| told["sites"][0]["exchanges"] == 1)
    });
    assert_eq!((&told["generation"], &told["workers"]), (&1.into(), &2.into()));
    assert_eq!(told["sites"][0]["name"], "a");
    assert_eq!(told["sites"][0]["failures"], 0);
    assert!(told["sites"][0]["median_seconds"].as_f64().unwrap() < 5.0, "{told:#}");
    let listeners = told["listeners"].as_array().unwrap();
    assert!(listeners.contains(&serde_json::json!({
        "name": "https", "address": format!("127.0.0.1:{}", gatehouse.https)
    })));
    let pool = &told["pools"][0];
    let address = format!("127.0.0.1:{}", origin.port());
    assert_eq!(
        (&pool["name"], &pool["servers"][0]["address"]),
        (&"origin".into(), &address.into())
    );
    assert_eq!(pool["servers"][0]["in_flight"], 1, "{pool}");
    assert_eq!(told["limits"][0]["name"], "clients_max");
    assert_eq!(told["limits"][0]["used"], 1);
    assert_eq!(told["certificates"][0]["name"], "a");
    server.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.answer().status(), 204);
    let text = status(&gatehouse, &[]).expect_success().text();
    assert!(text.contains("All is well.") && text.contains("Pool origin"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    // The file leads to the socket too.
    let file = gatehouse.folder().at("gatehouse.toml");
    let file = file.to_str().unwrap();
    run(env!("CARGO_BIN_EXE_gatehouse"), ["status", "--config", file]).expect_success();
}

#[test]
fn a_certificate_near_its_end() {
    let folder = Folder::new();
    folder.certificate_for_days("a", &["a.test"], 10);
    let text = "[pool.origin]\nservers = [\"127.0.0.1:1\"]\n";
    let gatehouse = Gatehouse::start(folder, text);
    expect_trouble(&gatehouse, "certificate a ends in 10 days", "[certificate.a]");
    // A new one is taken, and then all is well.
    gatehouse.folder().certificate("a", &["a.test"], crate::rig::Kind::Ecdsa);
    until("the new one", || status(&gatehouse, &[]).text().contains("All is well.").then_some(()));
}

#[test]
fn a_limit_that_is_reached() {
    let gatehouse = Gatehouse::publish(&[1], &format!("[limits]\nclients_max = 2\n{SITE}"));
    let mut clients = [gatehouse.client(), gatehouse.client()];
    assert!(clients.iter_mut().all(|client| get(client, "/own") == 200));
    expect_trouble(&gatehouse, "2 of 2 are in use: limits.clients_max", "gatehouse keys limits");
    let mut third = gatehouse.client();
    assert_eq!(get(&mut third, "/own"), 503);
    let json = until("the refused one", || {
        Some(json(&gatehouse)).filter(|json| json["clients_refused"] == 1)
    });
    assert_eq!(json["clients_accepted"], 3);
    drop(clients);
    // It is over, and was a moment ago.
    expect_trouble(&gatehouse, "too_many_clients", "limits.clients_max");
}

#[test]
fn a_server_that_fails() {
    let dead = free_port();
    let gatehouse = Gatehouse::publish(&[dead], SITE);
    let mut client = gatehouse.client();
    // Of one more it would be left out.
    for _ in 0..2 {
        assert_eq!(get(&mut client, "/"), 503);
    }
    let what = format!("upstream_refused at server 127.0.0.1:{dead} for site a: 2 times");
    expect_trouble(&gatehouse, &what, "");
    let json = json(&gatehouse);
    assert_eq!(json["failures"][0]["failure"], "upstream_refused", "{json:#}");
    assert_eq!(
        (&json["failures"][0]["fault_of"], &json["failures"][0]["count"]),
        (&"upstream".into(), &2.into())
    );
    let server = &json["pools"][0]["servers"][0];
    assert_eq!((&server["failures"], &server["unreached"]), (&2.into(), &2.into()));
    let advice = run(env!("CARGO_BIN_EXE_gatehouse"), ["explain", "upstream_refused", "--json"]);
    let next = json["troubles"][0]["next"].as_str().unwrap();
    let advice: Value = serde_json::from_slice(&advice.out).unwrap();
    assert_eq!(advice["advice"], next, "as the log's words are explained: {advice}");
}

#[test]
fn servers_that_are_not_up() {
    let (origin, admin, dead) = (Origin::new(), free_port(), free_port());
    let pool = "[pool.dead.probe]\nevery = \"100ms\"\nfall = 2\nall_down = \"refuse\"\n";
    let more = format!(
        "[pool.dead]\nservers = [\"127.0.0.1:{dead}\"]\n{pool}{SITE}[admin]\n\
         socket = \"./admin.sock\"\nadapter = \"internal\"\nport = {admin}\n"
    );
    let gatehouse = Gatehouse::publish(&[origin.port()], &more);
    let what = format!("pool dead: its only server 127.0.0.1:{dead} is down for");
    expect_trouble(&gatehouse, &what, &format!("nc -vz 127.0.0.1 {dead}"));
    expect_trouble(&gatehouse, "connection refused; requests get 503", "");
    // Somebody is logged in at the other, which is taken out.
    let mut user = gatehouse.client();
    user.send("GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: NTLM x\r\n\r\n");
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(user.answer().text(), "ok");
    let name = format!("127.0.0.1:{}", origin.port());
    let pinned = |count: u64| {
        until(&format!("{count} pinned"), || {
            let json = json(&gatehouse);
            let pools = json["pools"].as_array().unwrap().clone();
            let pool = pools.into_iter().find(|pool| pool["name"] == "origin").unwrap();
            (pool["servers"][0]["pinned"] == count).then(|| pool["servers"][0].clone())
        })
    };
    assert_eq!(pinned(1)["state"], "up");
    let done = gatehouse.pool("origin", "drain", &name).expect_success().text();
    assert!(done.contains("1 connection of a client that is logged in there stays"), "{done}");
    // The next request of the same client is no second one.
    user.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    server.head();
    assert_eq!(pinned(1)["state"], "drained");
    let mut page = Wire::plain(std::net::TcpStream::connect(("127.0.0.1", admin)).unwrap());
    page.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let metrics = String::from_utf8(page.rest().0).unwrap();
    for line in [
        format!(
            "gatehouse_server_state{{pool=\"dead\",server=\"127.0.0.1:{dead}\",state=\"down\"}} 1"
        ),
        format!("gatehouse_server_state{{pool=\"origin\",server=\"{name}\",state=\"drained\"}} 1"),
        format!("gatehouse_server_pinned{{pool=\"origin\",server=\"{name}\"}} 1"),
        "gatehouse_pool_servers_up{pool=\"dead\"} 0".to_owned(),
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line} is not in\n{metrics}");
    }
    crate::metrics::promtool(&gatehouse, metrics.split_once("\r\n\r\n").unwrap().1);
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(user.answer().text(), "ok");
    drop(user);
    pinned(0);
    let what = format!("pool origin: its only server {name} was drained");
    let next = format!("`gatehouse pool origin undrain --server {name}` takes it in again");
    expect_trouble(&gatehouse, &what, &next);
    gatehouse.pool("origin", "undrain", &name).expect_success();
    assert_eq!(pinned(0)["state"], "up");
}

/// Whoever looks at the exit code is not called for maintenance.
#[test]
fn a_server_that_was_taken_out_needs_nobody() {
    let (origin, other) = (Origin::new(), Origin::new());
    let gatehouse = Gatehouse::publish(&[origin.port(), other.port()], SITE);
    let name = format!("127.0.0.1:{}", origin.port());
    gatehouse.pool("origin", "drain", &name).expect_success();
    let told = status(&gatehouse, &[]).expect_success().text();
    assert!(told.contains(&format!("- pool origin: server {name} was drained")), "{told}");
    assert!(told.contains("All is well."), "{told}");
    let note = &json(&gatehouse)["notes"][0];
    assert!(note["next"].as_str().unwrap().contains("undrain"), "{note}");
}

#[test]
fn names_that_lead_nowhere() {
    let names = NameServer::new(fails(3));
    let file = |servers: &str| {
        format!(
            "[resolver]\nservers = [\"{}\"]\n[pool.origin]\nservers = [{servers}]\n{SITE}",
            names.address()
        )
    };
    let gatehouse = Gatehouse::start(Folder::new(), &file("\"fe01.test:443\""));
    let who = names.address();
    let what = format!("{who} says that the name does not exist");
    expect_trouble(&gatehouse, &what, "nslookup -port=");
    expect_trouble(&gatehouse, "pool origin has no address and answers 503", "[resolver] hosts");
    let told = &json(&gatehouse)["names"][0];
    assert_eq!((&told["name"], &told["pools"][0]), (&"fe01.test".into(), &"origin".into()));
    // A file that is refused changes nothing of it; one without the name does.
    gatehouse.rewrite("[pool");
    assert!(!gatehouse.reload().status.success());
    assert_eq!(json(&gatehouse)["names"].as_array().unwrap().len(), 1);
    gatehouse.change(&file("\"127.0.0.1:1\""));
    assert_eq!(json(&gatehouse)["troubles"].as_array().unwrap().len(), 0);
    // It comes again, and then DNS is mended.
    gatehouse.change(&file("\"fe01.test:443\""));
    expect_trouble(&gatehouse, &what, "");
    names.say(gives(&[[127, 0, 0, 1]]));
    gatehouse.reload().expect_success();
    until("all is well", || {
        (json(&gatehouse)["names"].as_array().unwrap().is_empty()).then_some(())
    });
    // A good one fails later, and its addresses stay.
    names.say(fails(2));
    expect_trouble(&gatehouse, "the addresses from before stay in use", "");
    // And one that leads here.
    names.say(gives(&[[127, 0, 0, 1]]));
    gatehouse.change(&file("\"fe01.test:$http\""));
    expect_trouble(&gatehouse, "where Gatehouse itself listens", "correct DNS");
}

#[test]
fn what_clients_do_wrong_is_told_and_is_no_trouble() {
    let gatehouse = Gatehouse::publish(&[1], SITE);
    let mut client = gatehouse.client();
    client.send("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n");
    assert_eq!(client.answer().status(), 421);
    until("the failure", || {
        let json = json(&gatehouse);
        assert_eq!(json["troubles"].as_array().unwrap().len(), 0, "{json:#}");
        (json["failures"][0]["failure"] == "misdirected").then_some(())
    });
}

#[test]
fn a_file_that_was_refused() {
    let gatehouse = Gatehouse::publish(&[1], SITE);
    gatehouse.rewrite("[pool");
    assert_eq!(gatehouse.reload().status.code(), Some(2));
    expect_trouble(&gatehouse, "was refused", "gatehouse check ");
    gatehouse.change(&format!("[pool.origin]\nservers = [\"127.0.0.1:1\"]\n{SITE}"));
    let json = json(&gatehouse);
    assert_eq!((&json["generation"], json["troubles"].as_array().unwrap().len()), (&2.into(), 0));
}

#[test]
fn nobody_is_there() {
    let folder = Folder::new();
    let socket = folder.at("admin.sock");
    for more in [None, Some("--json")] {
        let mut arguments = vec!["status", "--socket", socket.to_str().unwrap()];
        arguments.extend(more);
        let told = run(env!("CARGO_BIN_EXE_gatehouse"), arguments);
        assert_eq!(told.status.code(), Some(1));
        let text = told.text() + &told.err;
        assert!(text.contains("nobody listens at"), "{text}");
    }
}
