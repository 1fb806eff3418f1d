"""Short conversations of protocols that Kelpie does not read, many of which begin like one that it
does. CONVERSATIONS: {name: [(side, bytes)]}, side "c" (the client) or "s" (the server), in the order in
which they are said. Written for this test from the protocols' descriptions; no recording.
"""
import random
import struct

C, S = "c", "s"


def lines(*turns):
    """Turns as text: "C: ..." or "S: ..."; a turn that goes on has more lines."""
    return [(turn[0].lower(), turn[3:].replace("\n", "\r\n").encode() + b"\r\n") for turn in turns]


def frame32(body):
    return struct.pack(">I", len(body)) + body


def frame16(body):
    return struct.pack(">H", len(body)) + body


def kafka(api, version, number, body=b""):
    """A request; api 3 version 0 reads 00 03 00 00: what PostgreSQL calls protocol 3.0."""
    return frame32(struct.pack(">hhih", api, version, number, 4) + b"pond" + body)


def mongo(number, to, text):
    """OP_MSG. Its length comes first, little-endian, as in MySQL's packets."""
    document = struct.pack("<i", 4 + 1 + 3 + 4 + len(text) + 1 + 1) + b"\x02hi\x00" + \
        struct.pack("<i", len(text) + 1) + text + b"\x00\x00"
    body = struct.pack("<iiiI", number, to, 2013, 0) + b"\x00" + document
    return struct.pack("<i", len(body) + 4) + body


def amqp_method(channel, klass, method, arguments=b""):
    body = struct.pack(">HH", klass, method) + arguments
    return struct.pack(">BHI", 1, channel, len(body)) + body + b"\xce"


def cassandra(version, opcode, body=b""):
    return struct.pack(">BBHBI", version, 0, 1, opcode, len(body)) + body


def thrift(kind, name, number):
    return frame32(struct.pack(">HBBi", 0x8001, 0, kind, len(name)) + name + struct.pack(">i", number)
                   + b"\x0b\x00\x01\x00\x00\x00\x04reed\x00")


def tns(kind, body):
    """Oracle's packets: a length of 16 bits first, as DNS over TCP has."""
    return struct.pack(">HHBBH", len(body) + 8, 0, kind, 0, 0) + body


TDS_OPTIONS = b"\x00\x00\x0b\x00\x06\x01\x00\x11\x00\x01\xff" + bytes(6) + b"\x02"
TNS_CONNECT = tns(1, b"\x01\x3b\x01\x2c" + bytes(46) + b"(CONNECT_DATA=(SID=pond))")


def git_line(text):
    return f"{len(text) + 4:04x}".encode() + text


CONVERSATIONS = {
    # Its answers are RESP's simple strings and errors.
    "pop3": lines("S: +OK ready <17.4@pond.test>", "C: USER shop", "S: +OK", "C: PASS reed",
                  "S: +OK 2 messages",
                  "C: LIST", "S: +OK 2 messages (320)\n1 120\n2 200\n.",
                  "C: RETR 3", "S: -ERR no such message",
                  "C: PING", "S: -ERR unknown command", "C: QUIT", "S: +OK bye"),
    # Its untagged answers begin like RESP's arrays.
    "imap": lines("S: * OK [CAPABILITY IMAP4rev1] pond.test", "C: a1 LOGIN shop reed", "S: a1 OK done",
                  "C: a2 SELECT INBOX", "S: * 3 EXISTS\n* 0 RECENT\n* OK [UIDVALIDITY 1] ok\na2 OK done",
                  "C: a3 LOGOUT", "S: * BYE\na3 OK done"),
    "managesieve": lines("S: \"IMPLEMENTATION\" \"pond\"\nOK", "C: LISTSCRIPTS", "S: \"reed\" ACTIVE\nOK",
                         "C: LOGOUT", "S: OK"),
    "ftp": lines("S: 220 pond.test", "C: USER shop", "S: 331 word?", "C: PASS reed", "S: 230 in", "C: PWD",
                 "S: 257 \"/\"", "C: QUIT", "S: 221 bye"),
    "nntp": lines("S: 200 pond.test", "C: GROUP pond.reed", "S: 211 3 1 3 pond.reed", "C: QUIT",
                  "S: 205 bye"),
    "irc": lines("C: NICK reed\nUSER reed 0 * :Reed", "S: PING :17", "C: PONG :17",
                 "S: :pond 001 reed :Welcome", "C: QUIT", "S: ERROR :bye"),
    # It says INFO first, PING and PONG without RESP's plus, and +OK with it.
    "nats_verbose": lines("S: INFO {\"server_id\":\"pond\",\"max_payload\":1048576}",
                          "C: CONNECT {\"verbose\":true}", "S: +OK", "C: PING", "S: PONG",
                          "C: PUB reed 5\nhello", "S: +OK", "C: SUB reed 1", "S: +OK", "C: BOGUS",
                          "S: -ERR 'Unknown Protocol Operation'"),
    "memcached": lines("C: get reed", "S: END", "C: set reed 0 0 4\nlily", "S: STORED", "C: get reed",
                       "S: VALUE reed 0 4\nlily\nEND", "C: incr moss 1", "S: NOT_FOUND", "C: quit"),
    "beanstalkd": lines("C: put 0 0 60 4\nreed", "S: INSERTED 1", "C: reserve", "S: RESERVED 1 4\nreed",
                        "C: delete 1", "S: DELETED"),
    # A first line and headers as in HTTP, another name for the version.
    "rtsp": lines("C: OPTIONS rtsp://pond.test/1 RTSP/1.0\nCSeq: 1\n",
                  "S: RTSP/1.0 200 OK\nCSeq: 1\nPublic: DESCRIBE\n"),
    "sip": lines("C: REGISTER sip:pond.test SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.1\nCSeq: 1 REGISTER\n"
                 "Content-Length: 0\n",
                 "S: SIP/2.0 200 OK\nCSeq: 1 REGISTER\nContent-Length: 0\n"),
    "icap": lines("C: OPTIONS icap://pond.test/ ICAP/1.0\nHost: pond.test\n",
                  "S: ICAP/1.0 200 OK\nISTag: \"17\"\nEncapsulated: null-body=0\n"),
    "telnet": [(S, b"\xff\xfd\x18\xff\xfb\x01login: "), (C, b"shop\r\n"), (S, b"$ "), (C, b"ls\r\n"),
               (S, b"3\r\nreed\r\n$ "), (C, b"exit\r\n")],
    "dollar_prompt": [(S, b"$ "), (C, b"3\r\n"), (S, b"$3\r\n*2\r\n$ "), (C, b"exit\r\n")],
    "ssh": [(S, b"SSH-2.0-pond_1\r\n"), (C, b"SSH-2.0-reed_1\r\n"),
            (C, frame32(b"\x04\x14" + bytes(range(16)) + b"\x00\x00\x00\x04none" * 8 + b"\x00" * 4)),
            (S, frame32(b"\x04\x14" + bytes(range(16, 32)) + b"\x00\x00\x00\x04none" * 8 + b"\x00" * 4))],
    "rsync": [(S, b"@RSYNCD: 31.0\n"), (C, b"@RSYNCD: 31.0\n"), (C, b"#list\n"),
              (S, b"reed  \tpond\n@RSYNCD: EXIT\n")],
    "vnc": [(S, b"RFB 003.008\n"), (C, b"RFB 003.008\n"), (S, b"\x01\x01"), (C, b"\x01"),
            (S, bytes(4)), (C, b"\x01"), (S, struct.pack(">HH16xI", 800, 600, 4) + b"pond")],
    "git": [(C, git_line(b"git-upload-pack /pond\0host=pond.test\0")),
            (S, git_line(b"17" * 20 + b" HEAD\0multi_ack\n") + b"0000"), (C, b"0000")],
    "graphite": [(C, b"pond.level 17 1700000000\npond.level 18 1700000010\n")],
    "syslog": [(C, b"<34>1 2026-01-01T00:00:00Z pond shop - - - hello\n")],
    "json_lines": [(C, b'{"id":1,"method":"level"}\n'), (S, b'{"id":1,"result":17}\n')] * 3,
    "kafka_metadata_0": [(C, kafka(3, 0, 1, struct.pack(">i", 0))),
                         (S, frame32(struct.pack(">iii", 1, 0, 0)))] * 3,
    "kafka_versions_3": [(C, kafka(18, 3, 1, b"\x00\x05pond\x021\x00")),
                         (S, frame32(struct.pack(">ihB", 1, 0, 2) + struct.pack(">hhhB", 18, 0, 3, 0)
                                     + bytes(5)))],
    "kafka_fetch_0": [(C, kafka(1, 0, 7, struct.pack(">iiii", -1, 100, 1, 0))),
                      (S, frame32(struct.pack(">ii", 7, 0)))] * 3,
    "mongo": [(C, mongo(1, 0, b"reed")), (S, mongo(9, 1, b"lily")), (C, mongo(2, 0, b"r" * 240)),
              (S, mongo(10, 2, b"lily"))],
    "amqp_0_9_1": [(C, b"AMQP\x00\x00\x09\x01"),
                   (S, amqp_method(0, 10, 10, b"\x00\x09" + bytes(4) + bytes(8))),
                   (C, amqp_method(0, 10, 11, bytes(20))), (S, amqp_method(0, 10, 30, bytes(8))),
                   (C, amqp_method(0, 10, 31, bytes(8)) + amqp_method(0, 10, 40, b"\x01/\x00\x00")),
                   (S, amqp_method(0, 10, 41, b"\x00")), (C, amqp_method(1, 20, 10, b"\x00"))],
    "amqp_1_0": [(C, b"AMQP\x03\x01\x00\x00"), (S, b"AMQP\x03\x01\x00\x00"),
                 (S, struct.pack(">IBBH", 16, 2, 1, 0) + b"\x00\x53\x40\xc0\x03\x01\xe0\x00")],
    "mqtt_5": [(C, b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x04reed"), (S, b"\x20\x03\x00\x00\x00"),
               (C, b"\x30\x0b\x00\x04pond\x00hello"[:13]), (C, b"\xc0\x00"), (S, b"\xd0\x00"),
               (C, b"\xe0\x00")],
    "cassandra": [(C, cassandra(5, 5)), (S, cassandra(0x85, 6, b"\x00\x00")),
                  (C, cassandra(5, 1, b"\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0")), (S, cassandra(0x85, 2)),
                  (C, cassandra(5, 7, b"\x00\x00\x00\x08SELECT 1\x00\x01\x00")),
                  (S, cassandra(0x85, 8, b"\x00\x00\x00\x01"))],
    "thrift": [(C, thrift(1, b"level", 1)), (S, thrift(2, b"level", 1))] * 3,
    "tds": [(C, b"\x12\x01\x00\x1a\x00\x00\x01\x00" + TDS_OPTIONS),
            (S, b"\x04\x01\x00\x1a\x00\x00\x01\x00" + TDS_OPTIONS)],
    "tns": [(C, TNS_CONNECT), (S, tns(11, b"")), (C, TNS_CONNECT), (S, tns(2, bytes(24)))],
    "socks5": [(C, b"\x05\x01\x00"), (S, b"\x05\x00"), (C, b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"),
               (S, b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00")],
    "zookeeper": [(C, frame32(struct.pack(">iqiqi", 0, 0, 30000, 0, 16) + bytes(16))),
                  (S, frame32(struct.pack(">iiqi", 0, 30000, 17, 16) + bytes(16))),
                  (C, frame32(struct.pack(">ii", -2, 11))),
                  (S, frame32(struct.pack(">iqi", -2, 1, 0)))],
    "gearman": [(C, b"\x00REQ" + struct.pack(">II", 16, 4) + b"reed"),
                (S, b"\x00RES" + struct.pack(">II", 17, 4) + b"reed")],
    "ldap": [(C, b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"),
             (S, b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"),
             (C, b"\x30\x05\x02\x01\x02\x42\x00")],
    "x11": [(C, b"l\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
            (S, b"\x00\x04\x0b\x00\x00\x00\x01\x00full")],
    "memcached_binary": [(C, struct.pack(">BBHBBHIIQ", 0x80, 0, 4, 0, 0, 0, 4, 0, 0) + b"reed"),
                         (S, struct.pack(">BBHBBHIIQ", 0x81, 0, 0, 0, 0, 1, 9, 0, 0) + b"Not found")] * 3,
    # Protocols of nobody, that only look like one.
    "tag_length": [(C, b"M" + frame32(b"reed")), (S, b"A" + frame32(b"lily\x00"))] * 4,
    "tag_length_of_all": [(C, b"Q" + struct.pack(">I", 7) + b"\x01\x02\x03"),
                          (S, b"D" + struct.pack(">I", 9) + b"\xff\xfe\xfd\xfc\xfb")] * 4,
    "little_length": [(S, b"\x10\x00\x00\x00\nhello from pond"), (C, b"\x05\x00\x00\x00\x03reed"),
                      (S, b"\x05\x00\x00\x00\x07lily")] * 3,
    "length16_json": [(C, frame16(b'{"level":17,"of":"pond"}')), (S, frame16(b'{"ok":true,"n":1}'))] * 4,
    "star_lines": [(C, b"*hello\r\n"), (S, b"*1\r\n+pond\r\n")] * 3,
    "colon_lines": [(C, b"17\r\n"), (S, b":18\r\n"), (C, b"x\r\n"), (S, b"-\r\n")] * 2,
    "sql_lines": [(C, b"SELECT 1;\n"), (S, b"1\n")] * 4,
}


def noise(rng):
    """A conversation of random bytes, its first ones often those of a known protocol."""
    heads = (b"", b"*", b"$3\r\n", b"+", b"\x16\x03", b"GET ", b"Q\x00\x00\x00", b"\x00\x00\x00\x08",
             b"\x01\x00\x00\x00\x03", b"\x00\x1d", b"PRI * HTTP/2.0", b"HTTP/1.1 ", b"\x4a\x00\x00\x00\x0a",
             b"R\x00\x00\x00\x08", b"\x00\x03\x00\x00")
    text = bytes(range(32, 127)) + b"\r\n" * 8
    turns = []
    for _ in range(rng.randrange(1, 7)):
        size, side = rng.choice((1, 7, 40, 700)), rng.choice((C, S))
        data = rng.randbytes(size) if rng.random() < 0.6 else bytes(rng.choices(text, k=size))
        turns.append((side, rng.choice(heads) + data))
    return turns


def noises(count, seed=17):
    rng = random.Random(seed)
    return {f"noise_{n}": noise(rng) for n in range(count)}
