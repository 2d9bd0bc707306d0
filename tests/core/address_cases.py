"""Where callbacks may go: cases of public test suites and registries, each with its source.

PATT is swisskyrepo/PayloadsAllTheThings (Server Side Request Forgery), WPT web-platform-tests;
svix, smokescreen (Stripe) and boulder (Let's Encrypt) are tests of guards like ours.
"""

from __future__ import annotations

# address, allowed, source
ADDRESSES = [
    ("1.1.1.1", True, "svix is_allowed_test"),
    ("172.32.0.1", True, "cpython test_ipaddress (172.32.0.0)"),
    ("2606:4700:4700::1111", True, "smokescreen TestClassifyAddr"),
    ("2001:4860:4860::8888", True, "svix is_allowed_test; smokescreen TestClassifyAddr"),
    ("0.1.2.3", False, "svix is_allowed_test"),
    ("10.254.0.0", False, "svix is_allowed_test"),
    ("172.16.10.65", False, "svix is_allowed_test"),
    ("172.31.255.255", False, "boulder iana/ip_test prefix test"),
    ("100.64.0.1", False, "smokescreen TestClassifyAddr"),
    ("100.127.255.254", False, "smokescreen TestClassifyAddr"),
    ("100.100.100.200", False, "svix is_allowed_test (100.100.0.0); PATT SSRF-Cloud"),
    ("169.254.45.1", False, "svix is_allowed_test"),
    ("169.254.169.254", False, "smokescreen TestClassifyAddr; OWASP SSRF cheat sheet"),
    ("169.254.170.2", False, "PATT SSRF-Cloud"),
    ("168.63.129.16", False, "Azure platform address; not in any registry"),
    ("192.0.0.0", False, "svix is_allowed_test"),
    ("192.0.0.8", False, "IANA v4 registry"),
    ("192.0.0.9", False, "IANA v4 registry; svix /24 rule"),
    ("192.0.0.192", False, "PATT SSRF-Cloud; IANA v4 registry"),
    ("192.88.99.3", False, "svix is_allowed_test"),
    ("198.18.0.0", False, "svix is_allowed_test"),
    ("198.19.255.255", False, "IANA v4 registry"),
    ("198.51.100.65", False, "svix is_allowed_test"),
    ("203.0.113.6", False, "svix is_allowed_test"),
    ("224.1.2.3", False, "svix is_allowed_test"),
    ("233.252.0.16", False, "svix is_allowed_test"),
    ("239.255.255.250", False, "OWASP SSRF cheat sheet 224.0.0.0/4"),
    ("240.240.240.240", False, "svix is_allowed_test"),
    ("255.255.255.255", False, "svix is_allowed_test; smokescreen TestClassifyAddr"),
    ("::", False, "svix is_allowed_test"),
    ("::7f00:1", False, "RFC 4291 2.5.5.1"),
    ("::ffff:127.0.0.1", False, "svix is_allowed_test"),
    ("::ffff:169.254.169.254", False, "PATT SSRF-Cloud"),
    ("::ffff:224.0.0.1", False, "derived; measured"),
    ("::ffff:100.64.0.1", False, "derived; measured; cpython #119812"),
    ("::ffff:8.8.8.8", True, "svix is_allowed_test"),
    ("::ffff:0:127.0.0.1", False, "RFC 7915/2765"),
    ("64:ff9b::808:808", False, "svix is_allowed_test; smokescreen TestClassifyAddr"),
    ("64:ff9b:1::dead:beef", False, "svix is_allowed_test"),
    ("100:0:0:1::1", False, "IANA v6 registry"),
    ("2001::1", False, "cpython test_ipaddress; smokescreen TestClassifyAddr prefix"),
    ("2001:2::1", False, "IANA v6 registry"),
    ("2001:20::1", False, "IANA v6 registry"),
    ("2001:db8::1", False, "svix is_allowed_test"),
    ("2002:a00:1::1", False, "smokescreen TestClassifyAddr"),
    ("3fff::dead:beef", False, "svix is_allowed_test"),
    ("5f00::dead:beef", False, "svix is_allowed_test"),
    ("fdee:3a45:9057::1", False, "svix is_allowed_test"),
    ("fd00:ec2::254", False, "PATT SSRF-Cloud"),
    ("fd7a:115c:a1e0::1", False, "svix is_allowed_test"),
    ("fe80::dead:beef", False, "svix is_allowed_test"),
    ("febf:ffff::dead:beef", False, "svix is_allowed_test"),
    ("ff02::2", False, "smokescreen TestClassifyAddr"),
    ("fe80::1%eth0", False, "boulder iana/ip_test"),
    ("2606:4700:4700::1111%eth0", False, "RFC 6874 / WHATWG URL forbids zone ids"),
]

# URL, what its host resolves to, allowed, source
URLS: list[tuple[str, list[str], bool, str]] = [
    # ip-literal
    ("http://127.0.0.1:8080/", [], False, "PATT SSRF"),
    ("http://[::ffff:7f00:1]/", [], False, "PATT SSRF equiv."),
    ("http://[::127.0.0.1]/", [], False, "WPT urltestdata"),
    ("http://[::FFFF:A9FE:A9FE]/", [], False, "PATT SSRF-Cloud equiv."),
    ("http://[::ffff:100.100.100.200]/", [], False, "derived; measured"),
    ("http://[fe80::1%25eth0]/", [], False, "RFC 6874; WHATWG URL"),
    ("http://[::1%25lo]/", [], False, "boulder iana/ip_test (zone)"),
    ("http://[64:ff9b::169.254.169.254]/", [], False, "smokescreen TestClassifyAddr equiv."),
    ("http://[1::2]:3:4/", [], False, "WPT urltestdata"),
    ("http://2001:db8::1/", [], False, "WPT urltestdata (http://2001::1)"),
    ("https://[2606:4700:4700::1111]/hook", [], True, "smokescreen TestClassifyAddr"),
    ("https://8.8.8.8/hook", [], True, "svix is_allowed_test"),
    ("https://8.8.8.8:8443/hook", [], True, "Fetch bad ports (WPT request-bad-port)"),
    # numeric-host
    ("http://127.1/", [], False, "PATT SSRF"),
    ("http://127.0.1/", [], False, "PATT SSRF"),
    ("http://2130706433/", [], False, "PATT SSRF"),
    ("http://134744072/", [], False, "WHATWG parses it as 8.8.8.8"),
    ("http://7147006462/", [], False, "PATT SSRF-Cloud"),
    ("http://192.168.0.257/", [], False, "WPT urltestdata (failure)"),
    ("http://0x7f000001/", [], False, "PATT SSRF; measured"),
    ("https://0x.0x.0/", [], False, "WPT urltestdata"),
    ("http://1.2.3.08/", [], False, "WPT urltestdata (failure)"),
    ("http://foo.0x4/", [], False, "WPT urltestdata (failure)"),
    ("http://127.0.0.1./", [], False, "WPT urltestdata (1.2.3.4. -> 1.2.3.4)"),
    # encoded-host
    ("http://%31%32%37.0.0.1/", [], False, "WHATWG URL; cf. WPT urltestdata"),
    ("http://%30%78%63%30%2e%30%32%35%30.01/", [], False, "WPT urltestdata"),
    ("http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/", [], False, "measured; PATT SSRF"),
    ("http://\u2460\u2461\u2466.0.0.1/", [], False, "measured; PATT SSRF"),
    ("http://127\u30020\u30020\u30021/", [], False, "UTS 46; measured"),
    ("https://xn--e1afmkfd.xn--p1ai/hook", ["93.184.215.14"], True, "RFC 5891"),
    ("http://a%00b/", [], False, "WPT urltestdata (ho%00st failure)"),
    ("http://ho%0Ast/", [], False, "WPT urltestdata (failure)"),
    ("http://ho%40st/", [], False, "WPT urltestdata (failure)"),
    # control-char
    ("ht\ntp://127.0.0.1/", [], False, "WHATWG URL 4.4"),
    (" http://127.0.0.1/", [], False, "WHATWG URL 4.4; CVE-2023-24329"),
    # userinfo
    ("http://127.0.0.1@example.com/", ["93.184.215.14"], False, "RFC 9110 4.2.4"),
    ("http://127.1.1.1:80\\@127.2.2.2:80/", [], False, "PATT SSRF"),
    ("http://8.8.8.8\\@127.0.0.1/", [], False, "PATT SSRF equiv."),
    ("http://foo@evil@127.0.0.1/", [], False, "RFC 3986"),
    ("http://user@/www.example.com", [], False, "WPT urltestdata (failure)"),
    # scheme
    ("dict://attacker:11111/", [], False, "PATT SSRF"),
    ("sftp://evil.com:11111/", [], False, "PATT SSRF"),
    ("tftp://evil.com:12346/TESTUDPPACKET", [], False, "PATT SSRF"),
    ("ldap://localhost:11211/%0astats%0aquit", [], False, "PATT SSRF"),
    ("netdoc:///etc/passwd", [], False, "PATT SSRF"),
    ("ftp://example.com/", [], False, "RFC 3986"),
    ("javascript:alert(1)", [], False, "WHATWG URL"),
    ("data:text/plain,hi", [], False, "RFC 2397"),
    ("unix:///var/run/docker.sock", [], False, "common client extension"),
    ("http:///127.0.0.1/", [], False, "WHATWG URL"),
    ("//127.0.0.1/", [], False, "RFC 3986"),
    ("http://", [], False, "WPT urltestdata (http: failure)"),
    ("HTTPS://EXAMPLE.COM/hook", ["93.184.215.14"], True, "RFC 3986 6.2.2.1"),
    # port
    ("https://example.com:0/", ["93.184.215.14"], False, "Fetch bad ports (WPT request-bad-port)"),
    (
        "https://example.com:6000/",
        ["93.184.215.14"],
        False,
        "Fetch bad ports (WPT request-bad-port)",
    ),
    (
        "https://example.com:8443/",
        ["93.184.215.14"],
        True,
        "Fetch bad ports (WPT request-bad-port)",
    ),
    ("https://example.com:/", ["93.184.215.14"], True, "RFC 3986 3.2.3; WHATWG URL"),
    ("https://example.com:0443/", ["93.184.215.14"], True, "smokescreen hostport_test"),
    ("https://example.com:65536/", [], False, "smokescreen hostport_test"),
    ("https://example.com:-12/", [], False, "smokescreen hostport_test"),
    ("https://example.com:\uff18\uff10/", [], False, "measured"),
    # name
    ("http://localhost/", ["127.0.0.1"], False, "PATT SSRF"),
    ("http://LOCALHOST./", ["127.0.0.1"], False, "RFC 6761; boulder-style normalisation"),
    ("http://foo.localhost/", [], False, "RFC 6761 6.3"),
    ("http://ip6-localhost/", ["::1"], False, "PATT SSRF"),
    ("http://metadata.amazonaws.com/", ["169.254.169.254"], False, "OWASP SSRF cheat sheet"),
    ("http://redis/", ["10.0.0.7"], False, "derived"),
    ("http://kubernetes.default.svc/", ["10.96.0.1"], False, "derived"),
    ("http://company.127.0.0.1.nip.io/", ["127.0.0.1"], False, "PATT SSRF"),
    ("http://169.254.169.254.nip.io/", ["169.254.169.254"], False, "PATT SSRF-Cloud"),
    ("https://example.com./hook", ["93.184.215.14"], True, "smokescreen hostport_test"),
    (
        "https://nxdomain.example/",
        [],
        False,
        "smokescreen TestSelectTargetAddr (empty list errors)",
    ),
    # dns-mixed
    (
        "https://mixed2.example/",
        ["192.168.1.1", "8.8.8.8"],
        False,
        "smokescreen TestSelectTargetAddr",
    ),
    (
        "https://two-public.example/",
        ["8.8.8.8", "8.8.4.4"],
        True,
        "smokescreen TestSelectTargetAddr",
    ),
    # dns-rebind
    ("https://cname.example/", ["10.1.2.3"], False, "derived"),
]

# Where public answers redirected to; redirects are never followed, and these would be refused too.
REDIRECTS = ["http://localhost", "file:///etc/passwd"]

# IANA IPv4 Special-Purpose Address Registry: all blocks, and whether each is globally reachable.
IPV4_REGISTRY = [
    ("0.0.0.0/8", False),
    ("0.0.0.0/32", False),
    ("10.0.0.0/8", False),
    ("100.64.0.0/10", False),
    ("127.0.0.0/8", False),
    ("169.254.0.0/16", False),
    ("172.16.0.0/12", False),
    ("192.0.0.0/24", False),
    ("192.0.0.0/29", False),
    ("192.0.0.8/32", False),
    ("192.0.0.170/32", False),
    ("192.0.0.171/32", False),
    ("192.0.2.0/24", False),
    ("192.31.196.0/24", True),
    ("192.52.193.0/24", True),
    ("192.88.99.0/24", False),
    ("192.88.99.2/32", False),
    ("192.168.0.0/16", False),
    ("192.175.48.0/24", True),
    ("198.18.0.0/15", False),
    ("198.51.100.0/24", False),
    ("203.0.113.0/24", False),
    ("240.0.0.0/4", False),
    ("255.255.255.255/32", False),
    # Reachable, yet inside 192.0.0.0/24, which is not.
    ("192.0.0.9/32", False),
    ("192.0.0.10/32", False),
    ("224.0.0.0/4", False),  # RFC 5771, not in the registry
]

# IANA IPv6 Special-Purpose Address Registry. What is reachable in 2001::/23 and 64:ff9b::/96 is
# refused all the same: the first lies in a block that is not, the second carries IPv4.
IPV6_REGISTRY = [
    ("::1/128", False),
    ("::/128", False),
    ("64:ff9b::/96", False),
    ("64:ff9b:1::/48", False),
    ("100::/64", False),
    ("100:0:0:1::/64", False),
    ("2001::/23", False),
    ("2001::/32", False),
    ("2001:1::1/128", False),
    ("2001:1::2/128", False),
    ("2001:1::3/128", False),
    ("2001:2::/48", False),
    ("2001:3::/32", False),
    ("2001:4:112::/48", False),
    ("2001:10::/28", False),
    ("2001:20::/28", False),
    ("2001:30::/28", False),
    ("2001:db8::/32", False),
    ("2002::/16", False),
    ("2620:4f:8000::/48", True),
    ("3fff::/20", False),
    ("5f00::/16", False),
    ("fc00::/7", False),
    ("fe80::/10", False),
    ("fec0::/10", False),  # RFC 3879
    ("ff00::/8", False),  # RFC 4291
    # The ends of Global Unicast, 2000::/3
    ("1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", False),
    ("2000::/128", True),
    ("3fff:1000::/128", True),
    ("4000::/128", False),
    ("c000::/128", False),
]

# WHATWG Fetch, "Port blocking" (WPT fetch/api/request/request-bad-port.any.js), those above 1023
BAD_HIGH_PORTS = [
    *(1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668),
    *(6669, 6679, 6697, 10080),
]
