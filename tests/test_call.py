"""The guarded HTTP call: what it refuses over a real socket, and how it ends when a receiver does not."""

import datetime
import socket
import ssl
import threading
from itertools import count

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.receiver import Receiver, says
from videos.telling import call
from videos.telling.call import CallFailed, post, read_target

PUBLIC = "192.88.99.1"  # belongs to nobody today
SOON_S = 0.3


def send(url: str, *, inside: bool = True, **limits: float) -> int:
    return post(read_target(url, allows_private=inside), b'{"a": 1}', {"X-Test": "1"}, **limits).status


def resolving(monkeypatch, *answers: list[str]):
    """The name server that answers so, one after another; the last for ever."""
    numbers = count()
    look_up = socket.getaddrinfo

    def resolve(_, port, **options):
        addresses = answers[min(next(numbers), len(answers) - 1)]
        return [found for address in addresses for found in look_up(address, port, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


# ── What arrives ─────────────────────────────────────────────────────────────────


def test_a_call_arrives_with_its_body_and_headers():
    with Receiver() as receiver:
        assert send(f"http://localhost:{receiver.port}/hooks/a?b=c") == 204

    [arrived] = receiver.calls
    assert (arrived.path, arrived.body) == ("/hooks/a?b=c", b'{"a": 1}')
    assert arrived.headers["host"] == f"localhost:{receiver.port}"
    assert (arrived.headers["x-test"], arrived.headers["connection"]) == ("1", "close")


@pytest.mark.parametrize("status", [200, 299, 400, 410, 500])
def test_the_status_of_the_answer_is_returned(status):
    with Receiver(lambda *_: status) as receiver:
        assert send(receiver.url) == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(status):
    with Receiver() as inside:
        location = f"Location: http://127.0.0.1:{inside.port}/latest/meta-data/"
        with Receiver(says(f"HTTP/1.1 {status} Moved\r\n{location}\r\n\r\n".encode())) as receiver:
            assert send(receiver.url) == status

    assert inside.connections == 0


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("120", 120),
        ("0", 0),
        ("999999999999999999", 999_999_999_999_999_999),
        ("Sun, 29 Nov 2026 12:01:00 GMT", 60),
        ("Sunday, 29-Nov-26 12:01:00 GMT", 60),
        ("Sun Nov 29 12:01:00 2026", 60),
        ("Sun, 29 Nov 2026 13:01:00 +0100", 60),
        ("Sun, 29 Nov 2026 11:59:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 251_606_347_199),
        ("", 0),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("١", 0),
        ("9" * 60_000, 0),
        ("Sun, 32 Nov 2026 12:01:00 GMT", 0),
        ("120, 240", 0),
    ],
)
def test_how_long_a_receiver_asks_to_wait(header, wait_s):
    now = datetime.datetime(2026, 11, 29, 12, tzinfo=datetime.UTC)
    head = f"HTTP/1.1 503 Busy\r\nretry-after: {header}\r\n\r\n".encode()
    with Receiver(says(head)) as receiver:
        answer = post(read_target(receiver.url, allows_private=True), b"{}", {})

    assert answer.asks_for_s(now) == wait_s


def test_a_receiver_that_says_nothing_asks_for_no_wait():
    with Receiver(lambda *_: 503) as receiver:
        answer = post(read_target(receiver.url, allows_private=True), b"{}", {})

    assert answer.asks_for_s(datetime.datetime.now(datetime.UTC)) == 0


def test_a_name_with_several_addresses_is_called_at_the_first_that_answers(monkeypatch):
    with Receiver() as receiver:
        resolving(monkeypatch, ["::1", "127.0.0.1"])

        assert send(receiver.url) == 204


def test_each_of_many_addresses_has_time_for_the_way_around_the_world(monkeypatch):
    waits_s = []

    call_sixteen_silent_addresses(monkeypatch, waits_s.append, connect_s=3)

    assert len(waits_s) == 16
    assert all(1 <= wait_s <= 3 for wait_s in waits_s)


def test_addresses_that_do_not_answer_take_no_longer_than_one(monkeypatch):
    waits_s = []

    def wait(wait_s):
        waits_s.append(wait_s)
        threading.Event().wait(wait_s)

    call_sixteen_silent_addresses(monkeypatch, wait, connect_s=0.1)

    assert len(waits_s) == 1


def call_sixteen_silent_addresses(monkeypatch, wait, *, connect_s):
    """``wait`` is called with the seconds that each of them has."""

    class Silent(socket.socket):
        def connect(self, _):
            wait(self.gettimeout())
            raise TimeoutError

    resolving(monkeypatch, [PUBLIC] * 16)
    monkeypatch.setattr(socket, "socket", Silent)
    with pytest.raises(CallFailed, match="It does not answer"):
        send("https://receiver.example/", inside=False, connect_s=connect_s)


def test_proxies_of_the_environment_are_not_asked(monkeypatch):
    with Receiver() as proxy, Receiver() as receiver:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")

        assert send(receiver.url) == 204

    assert proxy.connections == 0


# ── Inside is refused ────────────────────────────────────────────────────────────

INSIDE = [
    "127.0.0.1", "localhost", "127.1", "127.255.255.254", "0", "0.0.0.0",  # noqa: S104
    "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[0:0:0:0:0:ffff:a9fe:a9fe]",
    "169.254.169.254", "2852039166", "0xa9fea9fe", "169.254.170.2", "192.0.0.192", "100.100.100.200",
    "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2001:0:7f00:1::]",
    "[fe80::1]", "[fec0::1]", "[fc00::1]", "[ff02::1]", "[2001:db8::1]", "[3fff::1]",
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
def test_an_address_inside_is_refused_in_every_form_of_it(host):
    with Receiver() as receiver, pytest.raises(CallFailed, match="not a public address"):
        send(f"https://{host}:{receiver.port}/", inside=False, connect_s=SOON_S)

    assert receiver.connections == 0


@pytest.mark.parametrize("addresses", [["127.0.0.1"], [PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], ["::1"]])
def test_a_name_with_any_address_inside_is_refused(monkeypatch, addresses):
    with Receiver() as receiver:
        resolving(monkeypatch, addresses)
        with pytest.raises(CallFailed, match="not a public address"):
            send(f"https://receiver.example:{receiver.port}/", inside=False, connect_s=SOON_S)

    assert receiver.connections == 0


def test_a_name_that_resolves_to_inside_only_after_it_was_checked_leads_nowhere(monkeypatch):
    with Receiver() as receiver:
        resolving(monkeypatch, [PUBLIC], ["127.0.0.1"])
        with pytest.raises(CallFailed, match="takes no connection"):
            send(f"https://receiver.example:{receiver.port}/", inside=False, connect_s=SOON_S)

    assert receiver.connections == 0


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:830::200e"]
)
def test_an_address_of_the_internet_is_public(address):
    assert call.is_public(address)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://receiver.example/", "must begin with https://"),
        ("ftp://receiver.example/", "does not begin with https://"),
        ("file:///etc/passwd", "does not begin with https://"),
        ("receiver.example/hooks", "does not begin with https://"),
        ("https://receiver.example@169.254.169.254/", "a user's name"),
        ("https://:password@receiver.example/", "a user's name"),
        ("https://receiver.example\\@169.254.169.254/", "a character"),
        ("https://receiver.example/\r\nX: y", "a character"),
        ("https://receiver.example/a b", "a character"),
        ("https://ré.example/", "a character"),
        ("https://receiver.example/#a", "a fragment"),
        ("https:///hooks", "no host"),
        ("https://receiver.example:70000/", "host or port"),
        ("https://receiver.example:http/", "host or port"),
        ("https://[::1/", "host or port"),
    ],
)
def test_a_url_that_no_call_can_go_to_is_refused_when_it_is_read(url, reason):
    with pytest.raises(ValueError, match=reason):
        read_target(url, allows_private=False)


# ── It ends ──────────────────────────────────────────────────────────────────────


def forever(piece: bytes, *, first: bytes = b"", every_s: float = 0.01):
    def behave(_, sock):
        sock.sendall(first)
        while not receiver_over.wait(every_s):
            sock.sendall(piece)

    receiver_over = None

    def on(receiver: Receiver) -> Receiver:
        nonlocal receiver_over
        receiver_over = receiver.over
        receiver.behave = behave
        return receiver

    return on


@pytest.mark.parametrize(
    "endless",
    [
        forever(b""),
        forever(b"H"),
        forever(b"a", first=b"HTTP/1.1 200 OK\r\nX: "),
        forever(b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["nothing", "a status line", "a header", "what goes on"],
)
def test_an_answer_without_an_end_is_cut_off(endless):
    with endless(Receiver()) as receiver, pytest.raises(CallFailed, match="did not answer within"):
        send(receiver.url, within_s=SOON_S)


@pytest.mark.parametrize("piece", [b"a", b"a" * 65536], ids=["slowly", "fast"])
def test_a_body_without_an_end_does_not_count(piece):
    endless = forever(piece, first=b"HTTP/1.1 200 OK\r\n\r\n", every_s=0.001)
    with endless(Receiver()) as receiver:
        assert send(receiver.url, within_s=SOON_S) == 200


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        bytes(range(256)) * 10,
    ],
)
def test_an_answer_that_is_none_fails(answer):
    with Receiver(says(answer)) as receiver, pytest.raises(CallFailed):
        send(receiver.url, within_s=5)


def test_a_connection_that_is_reset_fails():
    def reset(_, sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        sock.close()

    with Receiver(reset) as receiver, pytest.raises(CallFailed):
        send(receiver.url)


def test_a_port_that_nobody_listens_on_fails():
    with Receiver() as receiver:
        pass

    with pytest.raises(CallFailed, match="It takes no connection: Connection refused"):
        send(receiver.url)


def test_a_name_that_does_not_exist_fails():
    with pytest.raises(CallFailed, match="cannot be resolved"):
        send("http://receiver.invalid/", connect_s=30)


@pytest.mark.parametrize("host", ["a..b", "a" * 300])
def test_a_name_that_is_none_fails(host):
    with pytest.raises(CallFailed, match="cannot be resolved"):
        send(f"http://{host}/", connect_s=30)


def test_a_name_server_that_does_not_answer_is_not_waited_for(monkeypatch):
    with Receiver() as receiver:
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: receiver.over.wait())
        with pytest.raises(CallFailed, match="was not resolved within"):
            send("http://receiver.example/", connect_s=SOON_S)


# ── TLS ──────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of localhost, signed by itself, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(encoded + signed.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def trusting(certificate, monkeypatch):
    context = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(call, "_tls", lambda: context)


@pytest.mark.usefixtures("trusting")
def test_a_call_over_tls_arrives(certificate):
    with Receiver(certificate=certificate) as receiver:
        assert send(receiver.url) == 204

    assert receiver.calls[0].headers["host"] == f"localhost:{receiver.port}"


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate):
    unknown = pytest.raises(CallFailed, match="Its certificate is not valid: self-signed certificate")
    with Receiver(certificate=certificate) as receiver, unknown:
        send(receiver.url)

    assert receiver.calls == []


@pytest.mark.usefixtures("trusting")
def test_a_certificate_of_another_name_is_refused(certificate):
    another = pytest.raises(CallFailed, match="Its certificate is not valid")
    with Receiver(certificate=certificate) as receiver, another:
        send(receiver.url.replace("localhost", "127.0.0.1"))

    assert receiver.calls == []


@pytest.mark.thorough
@pytest.mark.usefixtures("trusting")
def test_an_answer_over_tls_without_an_end_is_cut_off(certificate):
    endless, late = forever(b"H"), pytest.raises(CallFailed, match="did not answer within")
    with endless(Receiver(certificate=certificate)) as receiver, late:
        send(receiver.url, within_s=1)


def test_a_server_that_does_not_speak_tls_fails():
    with Receiver() as receiver, pytest.raises(CallFailed):
        send(receiver.url.replace("http:", "https:"), within_s=5)


def test_a_tls_handshake_without_an_end_is_cut_off():
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(CallFailed, match="did not answer within"),
    ):
        send(f"https://localhost:{silent.getsockname()[1]}/", within_s=SOON_S)
