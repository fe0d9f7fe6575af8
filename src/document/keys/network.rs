//! The keys of adapters, names, workers, listeners and certificates.

use super::Otherwise::{Needed, Value, Words};
use super::{Key, Kind, key, table};

pub(super) const KEYS: &[Key] = &[
    key("include", Kind::TextOrTexts, Words("nothing else is read"),
        "Files that are read as if they stood here; `*` and `?` stand for parts of a name. Paths begin at the folder of this file.", "[\"conf.d/*.toml\"]"),
    table("adapter", Kind::Named, "A network adapter in its role. The name is the role: external faces the Internet, internal the company, management carries administration only.")
        .words(&["external", "internal", "management"]),
    key("adapter.*.interface", Kind::Text, Words("sockets are bound by address alone"),
        "The kernel's name for the adapter. With it, sockets are bound to the device as well.", "\"eth0\"")
        .when("Set it on a box with two networks, so that nothing meant for one goes out at the other; `ip -brief link` lists the names. Without it the kernel's routes decide where connections to servers leave, and an address of one adapter is answered at the other too, unless a firewall forbids it: `gatehouse check` warns."),
    key("adapter.*.mac", Kind::Text, Words("the adapter is found by `interface`"),
        "The hardware address, for the image. This version finds adapters by `interface`, which has to stand beside it.", "\"02:00:00:00:00:01\""),
    key("adapter.*.addresses", Kind::Texts, Words("none; an adapter with listeners needs one"),
        "Its addresses. With a prefix length the appliance configures them; bare ones are only bound.", "[\"203.0.113.10/24\"]"),
    key("adapter.*.gateway", Kind::Text, Words("no default route"),
        "The router for everything that no other route covers. Refused on the internal adapter.", "\"203.0.113.1\""),
    key("adapter.*.routes", Kind::Texts, Words("none"),
        "Networks behind routers.", "[\"192.168.10.0/24 via 172.25.33.1\"]")
        .when("Needed on the internal adapter for every server network that is not its own."),
    table("resolver", Kind::Table, "How the names of servers become addresses: hosts first, then DNS."),
    key("resolver.servers", Kind::Texts, Words("those of the system"),
        "DNS servers, asked from the internal adapter: the first, and the next where one does not answer. With a port where that is not 53.", "[\"172.25.33.53\", \"172.25.33.54:5353\"]")
        .when("Set it on a box with two networks: the system's own resolver may ask the Internet for internal names. Names are asked for again when their answers expire; addresses that were good stay in use while DNS is out of order."),
    key("resolver.hosts", Kind::NamedTexts, Words("none"),
        "Names that need no asking, and their addresses.", "{ \"fe01.contoso.local\" = [\"192.168.10.11\"] }"),
    table("workers", Kind::Table, "The threads that do the work."),
    key("workers.count", Kind::Size(1, 1024), Value("\"auto\""),
        "How many. auto is one for each core that the process may use.", "4")
        .words(&["auto"])
        .when("Leave it, unless other programs need cores of their own."),
    table("listener", Kind::Named, "An address and port that clients connect to, at one adapter."),
    key("listener.*.adapter", Kind::Name("adapter"), Value("\"external\""),
        "The adapter whose addresses are listened on.", "\"external\""),
    key("listener.*.port", Kind::Number(1, 65_535), Needed,
        "The port.", "443"),
    key("listener.*.published_port", Kind::Number(1, 65_535), Words("the same as port"),
        "The port that clients see. Redirects to https name it.", "443")
        .when("Set it when a device in front translates ports."),
    key("listener.*.tls", Kind::Flag, Value("false"),
        "Whether clients speak TLS here.", "true"),
    key("listener.*.profile", Kind::Choice, Value("\"modern\""),
        "The versions and ciphers of TLS that clients may choose from: TLS 1.2 and 1.3; windows-7 adds what Windows before 10 needs.", "\"modern\"")
        .words(&["modern", "windows-7"])
        .when("For clients on Windows 7 and 8.1, such as Lync 2010 and 2013 there, where the certificate is an RSA one; an ECDSA certificate beside it does the same without old cipher suites. Clients that can more still get more. `gatehouse check` warns of it, log and metrics show who uses them. Clients that know nothing newer than TLS 1.1 are not served at all (`gatehouse explain client_tls_too_old`).")
        .with("tls"),
    key("listener.*.certificate", Kind::Names("certificate"), Words("none; needed with tls = true"),
        "What clients that send no server name are shown. Several may be an RSA and an ECDSA one.", "\"lync\""),
    table("certificate", Kind::Named, "A certificate with its key."),
    key("certificate.*.chain", Kind::File, Needed,
        "PEM: the certificate first, then each one's issuer.", "\"certs/lync.pem\""),
    key("certificate.*.key", Kind::File, Needed,
        "PEM: the private key, not encrypted; only the service's user should be able to read it.", "\"certs/lync.key\""),
];
