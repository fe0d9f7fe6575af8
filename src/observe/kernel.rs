//! What the kernel counts about listening sockets.

/// `ListenOverflows` and `ListenDrops` out of the text of `/proc/net/netstat`, where a line of names
/// stands above one of numbers.
#[must_use]
pub fn listen_losses(netstat: &str) -> Option<(u64, u64)> {
    let mut lines = netstat.lines();
    while let (Some(names), Some(numbers)) = (lines.next(), lines.next()) {
        let value = |wanted: &str| {
            let place = names.split(' ').position(|name| name == wanted)?;
            numbers.split(' ').nth(place)?.parse().ok()
        };
        if let (Some(overflows), Some(drops)) = (value("ListenOverflows"), value("ListenDrops")) {
            return Some((overflows, drops));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_above_numbers() {
        let text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 7 12 345\n\
                    IpExt: InNoRoutes\nIpExt: 0\n";
        assert_eq!(listen_losses(text), Some((12, 345)));
        for broken in
            ["", "TcpExt: ListenOverflows ListenDrops", "a ListenOverflows ListenDrops\na 1 x\n"]
        {
            assert_eq!(listen_losses(broken), None, "{broken}");
        }
    }
}
