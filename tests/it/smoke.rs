//! The shortest way through: if this fails, nothing else needs to be looked at.

use crate::rig::{Gatehouse, Origin};

#[test]
fn one_request_goes_up_and_one_answer_comes_down() {
    let origin = Origin::new();
    let mut gatehouse = Gatehouse::publish(&[origin.port()], "");
    for mut client in [gatehouse.client(), gatehouse.secure_client()] {
        client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut server = origin.accept();
        server.expect("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
        server.end();
        client.end();
    }
    gatehouse.stop();
}
