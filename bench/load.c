/* The load generator: thousands of WebSocket members and a few callers, in one process.
 *
 * It is told what to do by lines on its standard input, and answers each with one line of JSON:
 * what happened when, in nanoseconds, and everything that was wrong. It knows no server and no
 * protocol beyond HTTP and WebSocket; every text that it sends or expects is a template that it
 * is given ($R room, $S session, $E epoch, $T how many are to be told, $N a number that is never
 * the same, $L the end of a line).
 *
 * A member has a WebSocket from the beginning; or, if there is a `poll`, it begins by requests, as
 * clients of Engine.IO do: a GET is answered as soon as there is something to tell, a POST takes
 * what the member says. If there is a `probe`, it then goes over to a WebSocket.
 *
 * How it stays honest:
 *  - a time of arrival is the kernel's (SO_TIMESTAMPNS): when the bytes reached the socket, not
 *    when this program came round to reading them;
 *  - a latency begins when the request was meant to be sent, whether or not it could be;
 *  - every text is compared with the one that is due, to the byte. What is missing, doubled,
 *    different, or sent to somebody else is counted as a fault, and the first one is described;
 *  - how late it was by its own doing, and how busy, is reported beside every result.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
#define TEXT 2048     /* the longest line, template or text */
#define BUFFER 1024   /* what one member may have sent us before we have read it all */
#define KEYS 1024     /* handshake keys, prepared by the caller with their answers */
#define SOURCES 16    /* addresses that we connect from: 28,000 ports each */
#define QUIET (SECOND / 20)   /* what arrives this long after the last event was not due */

enum state { GONE, CONNECTING, UPGRADING, PROBING, PROBED, GREETING, OPENING, JOINING, JOINED, LEAVING };
enum opcode { TEXT_FRAME = 1, CLOSE_FRAME = 8, PING_FRAME = 9, PONG_FRAME = 10 };

#define NO_ROOM UINT32_MAX /* of a question: what is asked by the same callers, and told to nobody */

struct notify {
    int64_t intended, sent, answered, event; /* event: when the last member was told */
    int64_t late;                            /* by our own doing */
    uint32_t room, due, told;                /* members to be told, and told so far */
};

struct room {
    uint32_t name, first, size, epoch;
    struct notify *notify; /* the last one */
    bool busy;             /* until it is answered, and everybody is told */
};

/* What a member has while it has no WebSocket: a connection that is kept, for one request at a time. */
struct requests {
    int fd;
    bool connected, posted, paused; /* paused: the last GET before the WebSocket is answered */
    uint32_t have;
    char id[64]; /* of its session at the server */
    char buffer[BUFFER + 1];
};

struct member {
    int fd; /* of its WebSocket */
    struct requests *requests;
    enum state state;
    uint32_t room, session, key;
    uint32_t due; /* the epoch of the terminate that it must get; 0 for none */
    bool told, ended, stalled; /* ended: what comes last has come */
    uint32_t beats, flooded;
    int64_t intended, at; /* of its join, or of its terminate */
    uint32_t have;
    uint8_t buffer[BUFFER];
};

struct caller {
    int fd;
    struct notify *notify;
    int64_t free_since;
    size_t have, size;
    char *buffer; /* it grows: an answer may name ten thousand sessions */
};

/* What epoll hands back: the index, and above it whether it is a caller's, or of a member's requests. */
#define CALLER (UINT64_C(1) << 32)
#define REQUESTS (UINT64_C(1) << 33)

static struct {
    char path[TEXT], greeting[TEXT], greeting_reply[TEXT], opened[TEXT], join[TEXT], joined[TEXT],
        terminate[TEXT], last[TEXT], beat[TEXT], beat_reply[TEXT], notify[TEXT], answer[TEXT],
        question[TEXT], status[TEXT], verdict[TEXT], poll[TEXT], taken[TEXT], probe[TEXT],
        probed[TEXT], nothing[TEXT], gone_over[TEXT];
} say;

static struct {
    uint64_t missing, duplicate, wrong, lost, unanswered, clock;
    char first[TEXT];
} faults;

static struct sockaddr_in server, http_server;
static int epoll;
static struct member *members;
static uint32_t member_count, member_room;
static struct room *rooms;
static uint32_t room_count, room_room;
static struct caller callers[256];
static uint32_t caller_count;
static struct { char key[32], accept[32]; } keys[KEYS];
static uint32_t key_count, next_session, next_name, next_question, connections;
static uint32_t arriving; /* members between connect and joined */
static bool retry;        /* a refused connection is tried again */
static bool part;         /* a member that is told closes its connection */
static int64_t patience = 20 * SECOND; /* until what is due is missing */

static int64_t clock_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static int64_t now(void) { return clock_ns(CLOCK_REALTIME); /* as the kernel's timestamps */ }

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

__attribute__((format(printf, 2, 3))) static void fault(uint64_t *counter, const char *format, ...) {
    ++*counter;
    if (faults.first[0]) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(faults.first, sizeof faults.first, format, arguments);
    va_end(arguments);
    for (char *c = faults.first; *c; c++) /* it goes into a JSON string */
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ' || (unsigned char)*c > '~') *c = '\'';
}

/* Fill in a template; return the length. */
static size_t fill(char *out, const char *template, const struct room *room, uint32_t session,
                   uint32_t epoch, uint32_t due) {
    char *end = out;
    for (const char *c = template; *c; c++) {
        if (*c != '$') {
            *end++ = *c;
            continue;
        }
        switch (*++c) {
        case 'R': end += sprintf(end, "r%" PRIu32, room->name); break;
        case 'S': end += sprintf(end, "s%" PRIu32, session); break;
        case 'E': end += sprintf(end, "%" PRIu32, epoch); break;
        case 'T': end += sprintf(end, "%" PRIu32, due); break;
        case 'N': end += sprintf(end, "%" PRIu32, next_question++); break;
        case 'L': end += sprintf(end, "\r\n"); break;
        default: *end++ = *c;
        }
    }
    *end = 0;
    return end - out;
}

static bool starts(const char *text, size_t length, const char *prefix) {
    size_t wanted = strlen(prefix);
    return length >= wanted && !memcmp(text, prefix, wanted);
}

/* -- sockets ---------------------------------------------------------------------------- */

static int open_socket(bool small) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, few = 536;
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (small) { /* the server's own buffer is measured by our largest segment */
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof few);
        setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &few, sizeof few);
    }
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + connections++ % SOURCES);
    if (bind(fd, (struct sockaddr *)&source, sizeof source)) die("bind");
    return fd;
}

static void watch(int how, int fd, uint32_t events, uint64_t whom) {
    struct epoll_event event = {.events = events, .data.u64 = whom};
    if (epoll_ctl(epoll, how, fd, &event)) die("epoll_ctl");
}

/* Read, and tell when the last of what was read arrived. */
static ssize_t receive(int fd, void *into, size_t size, int64_t *at) {
    struct iovec part = {into, size};
    char control[128];
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
    *at = 0;
    for (struct cmsghdr *c = got > 0 ? CMSG_FIRSTHDR(&message) : NULL; c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof t);
            *at = t.tv_sec * SECOND + t.tv_nsec;
        }
    if (got > 0 && !*at) fault(&faults.clock, "the kernel gives no time of arrival");
    return got;
}

static void close_socket(int *fd, bool reset) {
    struct linger at_once = {1, 0}; /* twenty thousand closed connections would keep their ports */
    if (*fd >= 0 && reset) setsockopt(*fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* -- members ---------------------------------------------------------------------------- */

static void end_requests(struct member *m, bool reset) {
    if (!m->requests) return;
    close_socket(&m->requests->fd, reset);
    free(m->requests);
    m->requests = NULL;
}

static void end(struct member *m, bool reset) {
    if (m->state > GONE && m->state < JOINED) arriving--;
    close_socket(&m->fd, reset);
    end_requests(m, reset);
    m->state = GONE;
}

static void lose(struct member *m, const char *why) {
    bool expected = m->told || m->state == LEAVING || m->stalled;
    if (!expected) fault(&faults.lost, "member s%" PRIu32 " lost its connection: %s", m->session, why);
    end(m, expected);
}

static void send_frame(struct member *m, enum opcode opcode, const void *payload, size_t length) {
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t frame[TEXT + 8] = {0x80 | opcode};
    size_t head = 2;
    if (length < 126) frame[1] = 0x80 | length;
    else {
        frame[1] = 0x80 | 126;
        frame[2] = length >> 8;
        frame[3] = length;
        head = 4;
    }
    memcpy(frame + head, mask, 4);
    head += 4;
    for (size_t i = 0; i < length; i++) frame[head + i] = ((const uint8_t *)payload)[i] ^ mask[i % 4];
    if (send(m->fd, frame, head + length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)(head + length))
        lose(m, "it does not take what we send");
}

static int dial(uint64_t whom, bool small) {
    int fd = open_socket(small);
    if (connect(fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) die("connect");
    watch(EPOLL_CTL_ADD, fd, EPOLLOUT, whom);
    return fd;
}

static int dial_error(int fd) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

static void start(struct member *m) {
    m->state = CONNECTING;
    m->have = 0;
    m->told = m->ended = false;
    m->due = m->beats = m->flooded = 0;
    arriving++;
    if (!say.poll[0]) {
        m->fd = dial(m - members, m->stalled);
        return;
    }
    if (!(m->requests = calloc(1, sizeof *m->requests))) die("memory");
    m->requests->fd = dial(REQUESTS | (m - members), false);
}

static void shake_hands(struct member *m) {
    int error = dial_error(m->fd);
    if (error && retry) { /* the server is not back yet */
        end(m, false);
        start(m);
        return;
    }
    if (error) return lose(m, strerror(error));
    m->key = m->session % key_count;
    char head[TEXT];
    int length = snprintf(head, sizeof head,
        "GET %s%s HTTP/1.1\r\nHost: sessions.example.com\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nOrigin: https://app.example.com\r\nSec-WebSocket-Key: %s\r\n"
        "Sec-WebSocket-Version: 13\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0)\r\n"
        "Cookie: theme=dark; id=%" PRIu32 "\r\n\r\n", say.path,
        m->requests ? m->requests->id : "", keys[m->key].key, m->session);
    if (send(m->fd, head, length, MSG_NOSIGNAL) != length) return lose(m, "in the handshake");
    m->state = UPGRADING;
    watch(EPOLL_CTL_MOD, m->fd, EPOLLIN, m - members);
}

static char said[TEXT]; /* by the member whose GET is being read: it is posted afterwards */

static void speak(struct member *m, const char *text) {
    size_t before = strlen(said);
    if (!m->requests) send_frame(m, TEXT_FRAME, text, strlen(text));
    else snprintf(said + before, sizeof said - before, before ? "\x1e%s" : "%s", text);
}

static void request(struct member *m, const char *body) {
    struct requests *r = m->requests;
    char head[2 * TEXT], content[128] = "";
    r->posted = body[0];
    r->have = 0;
    if (r->posted)
        sprintf(content, "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %zu\r\n", strlen(body));
    int length = snprintf(head, sizeof head,
        "%s %s&t=%08" PRIx32 "%s HTTP/1.1\r\nHost: sessions.example.com\r\nConnection: keep-alive\r\nAccept: */*\r\n"
        "Accept-Encoding: gzip, deflate, br\r\nOrigin: https://app.example.com\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0)\r\n%s\r\n%s",
        r->posted ? "POST" : "GET", say.poll, next_question++, r->id, content, body);
    if (send(r->fd, head, length, MSG_NOSIGNAL) != length) lose(m, "it does not take a request");
}

static void ask_to_join(struct member *m) {
    char text[TEXT];
    m->state = JOINING;
    fill(text, say.join, &rooms[m->room], m->session, 0, 0);
    speak(m, text);
}

/* Go on with the WebSocket alone, once it is known to work, and nothing is asked any more. */
static void go_over(struct member *m) {
    if (m->state != PROBED || !m->requests->paused) return;
    end_requests(m, false);
    speak(m, say.gone_over);
    if (m->state != GONE) ask_to_join(m);
}

/* Take the answer to the handshake off the buffer; false if it is not whole yet. */
static bool upgrade(struct member *m) {
    char *head = (char *)m->buffer, *over = memmem(head, m->have, "\r\n\r\n", 4);
    if (!over) {
        if (m->have == BUFFER) lose(m, "the answer to its handshake is too long");
        return false;
    }
    size_t length = over + 4 - head;
    if (!starts(head, length, "HTTP/1.1 101 ") ||
        !memmem(head, length, keys[m->key].accept, strlen(keys[m->key].accept))) {
        fault(&faults.wrong, "handshake: %.40s", head);
        end(m, true);
        return false;
    }
    memmove(head, head + length, m->have -= length);
    if (m->requests) {
        m->state = PROBING;
        send_frame(m, TEXT_FRAME, say.probe, strlen(say.probe));
    } else if (say.greeting[0]) m->state = GREETING;
    else ask_to_join(m);
    return m->state != GONE;
}

static void settle_room(struct room *room) {
    struct notify *n = room->notify;
    room->busy = n && !(n->answered && n->told == n->due);
}

static void say_goodbye(struct member *m) {
    static const uint8_t normal[2] = {1000 >> 8, 1000 & 255};
    m->state = LEAVING;
    send_frame(m, CLOSE_FRAME, normal, sizeof normal);
}

static void hear_beat(struct member *m) {
    m->beats++;
    if (say.beat_reply[0]) speak(m, say.beat_reply);
}

static void count_told(struct member *m) {
    struct room *room = &rooms[m->room];
    if (m->stalled) return;
    room->notify->told++;
    if (m->at > room->notify->event) room->notify->event = m->at;
    settle_room(room);
    if (part) say_goodbye(m);
}

static void hear_event(struct member *m, const char *text, size_t length, int64_t at) {
    struct room *room = &rooms[m->room];
    char due[TEXT];
    size_t wanted = fill(due, say.terminate, room, m->session, m->due, 0);
    if (m->due && length == wanted && !memcmp(text, due, wanted)) {
        if (m->told) {
            fault(&faults.duplicate, "s%" PRIu32 " got twice: %.*s", m->session, (int)length, text);
            return;
        }
        m->told = true;
        m->at = at;
        if (!say.last[0]) count_told(m);
    } else if (m->told && !m->ended && say.last[0] && length == strlen(say.last) && starts(text, length, say.last)) {
        m->ended = true;
        count_told(m);
    } else if (starts(text, length, say.beat))
        hear_beat(m);
    else
        fault(&faults.wrong, "s%" PRIu32 ", epoch %" PRIu32 ", got: %.*s", m->session, m->due,
              (int)length, text);
}

static void hear_text(struct member *m, const char *text, size_t length, int64_t at) {
    char due[TEXT];
    const char *wanted = due;
    switch (m->state) {
    case PROBING: wanted = say.probed; break;
    case GREETING: wanted = say.greeting; break;
    case OPENING: wanted = say.opened; break;
    case JOINING: fill(due, say.joined, &rooms[m->room], m->session, 0, 0); break;
    default: hear_event(m, text, length, at); return;
    }
    /* What is answered is the connection's, as Engine.IO's are: it may beat before the join. */
    if (m->state > GREETING && say.beat_reply[0] && starts(text, length, say.beat))
        hear_beat(m);
    else if (!starts(text, length, wanted)) {
        fault(&faults.wrong, "s%" PRIu32 " was to get %s, and got: %.*s", m->session, wanted,
              (int)length, text);
        end(m, true);
    } else if (m->state == PROBING) {
        m->state = PROBED;
        go_over(m);
    } else if (m->state == GREETING) {
        m->state = OPENING;
        if (m->requests)
            sprintf(m->requests->id, "&sid=%.*s", (int)strnlen(text + strlen(wanted), 40), text + strlen(wanted));
        if (m->requests) *strchrnul(m->requests->id, '"') = 0;
        speak(m, say.greeting_reply);
    } else if (m->state == OPENING && m->requests && say.probe[0]) {
        m->state = CONNECTING;
        m->fd = dial(m - members, false);
    } else if (m->state == OPENING)
        ask_to_join(m);
    else {
        m->state = JOINED;
        m->at = at;
        arriving--;
        if (m->stalled) watch(EPOLL_CTL_DEL, m->fd, 0, 0);
    }
}

/* Take one frame off the buffer; return its size, or 0 if it is not whole yet. */
static size_t hear_frame(struct member *m, const uint8_t *frame, size_t have, int64_t at) {
    if (have < 2) return 0;
    size_t head = 2, length = frame[1];
    if (length == 126) {
        if (have < 4) return 0;
        length = frame[2] << 8 | frame[3];
        head = 4;
    }
    if (length > BUFFER - 4 || frame[0] >> 4 != 8) {
        fault(&faults.wrong, "s%" PRIu32 " got a frame that begins with %02x%02x", m->session,
              frame[0], frame[1]);
        end(m, true);
        return 0;
    }
    if (have < head + length) return 0;
    switch (frame[0] & 15) {
    case TEXT_FRAME: hear_text(m, (const char *)frame + head, length, at); break;
    case PING_FRAME: send_frame(m, PONG_FRAME, frame + head, length); break;
    case PONG_FRAME: break;
    case CLOSE_FRAME: lose(m, "closed by the server"); break;
    default: fault(&faults.wrong, "s%" PRIu32 " got opcode %d", m->session, frame[0] & 15);
    }
    return head + length;
}

static void hear(struct member *m) {
    int64_t at;
    if (m->state == CONNECTING) return shake_hands(m);
    ssize_t got = receive(m->fd, m->buffer + m->have, BUFFER - m->have, &at);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return lose(m, got ? strerror(errno) : "end of stream");
    m->have += got;
    if (m->state == UPGRADING && !upgrade(m)) return;
    size_t done = 0, size;
    while (m->state != GONE && (size = hear_frame(m, m->buffer + done, m->have - done, at)))
        done += size;
    memmove(m->buffer, m->buffer + done, m->have -= done);
}

/* Read the answer to a request, and make the next one. */
static void hear_requests(struct member *m) {
    struct requests *r = m->requests;
    int64_t at;
    if (!r->connected) {
        int error = dial_error(r->fd);
        if (error) return lose(m, strerror(error));
        r->connected = true;
        m->state = GREETING;
        watch(EPOLL_CTL_MOD, r->fd, EPOLLIN, REQUESTS | (m - members));
        return request(m, "");
    }
    ssize_t got = receive(r->fd, r->buffer + r->have, BUFFER - r->have, &at);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return lose(m, got ? strerror(errno) : "end of stream");
    r->buffer[r->have += got] = 0;
    char *body = strstr(r->buffer, "\r\n\r\n"), *length = strcasestr(r->buffer, "\r\ncontent-length:");
    if (!body || !length || strlen(body += 4) < strtoul(length + 17, NULL, 10)) {
        if (r->have == BUFFER) lose(m, "the answer to a request is too long");
        return;
    }
    if (!starts(r->buffer, r->have, "HTTP/1.1 200 ") || (r->posted && strcmp(body, say.taken))) {
        fault(&faults.wrong, "s%" PRIu32 " was answered: %.12s ... %.200s", m->session, r->buffer, body);
        return end(m, true);
    }
    if (r->posted) return request(m, "");
    if ((m->state == PROBING || m->state == PROBED) && !strcmp(body, say.nothing)) {
        r->paused = true;
        return go_over(m);
    }
    said[0] = 0;
    for (char *packet = body, *next; packet && m->state != GONE; packet = next) {
        if ((next = strchr(packet, '\x1e'))) *next++ = 0;
        hear_text(m, packet, strlen(packet), at);
    }
    if (m->state != GONE) request(m, said);
}

/* -- callers ---------------------------------------------------------------------------- */

static void open_caller(struct caller *c) {
    *c = (struct caller){
        .fd = open_socket(false), .free_since = now(), .size = c->size, .buffer = c->buffer};
    if (connect(c->fd, (struct sockaddr *)&http_server, sizeof http_server) && errno != EINPROGRESS)
        die("connect");
    struct pollfd ready = {c->fd, POLLOUT, 0};
    poll(&ready, 1, 5000);
    watch(EPOLL_CTL_ADD, c->fd, EPOLLIN, CALLER | (c - callers));
}

static void open_callers(uint32_t count) {
    while (caller_count < count && caller_count < 256) open_caller(&callers[caller_count++]);
}

static void close_callers(void) {
    while (caller_count) close_socket(&callers[--caller_count].fd, true);
}

static void send_request(struct caller *c, struct notify *n, const char *request, size_t size) {
    int64_t possible = n->intended > c->free_since ? n->intended : c->free_since;
    c->notify = n;
    c->have = 0;
    n->sent = now();
    n->late = n->sent - possible;
    if (send(c->fd, request, size, MSG_NOSIGNAL) != (ssize_t)size)
        fault(&faults.unanswered, "the server does not take a request");
}

static void ask(struct caller *c, struct notify *n) {
    char request[2 * TEXT];
    n->room = NO_ROOM;
    send_request(c, n, request, fill(request, say.question, NULL, 0, 0, 0));
}

/* Post a notify, and note who must be told of it. */
static void post(struct caller *c, struct notify *n, uint32_t sender) {
    struct room *room = &rooms[n->room];
    char body[TEXT], request[2 * TEXT];
    room->epoch++;
    room->notify = n;
    room->busy = true;
    for (uint32_t i = room->first; i < room->first + room->size; i++)
        if (members[i].state == JOINED && !members[i].told && members[i].session != sender) {
            members[i].due = room->epoch;
            n->due += !members[i].stalled;
        }
    size_t length = fill(body, say.notify, room, sender, 0, 0);
    int size = snprintf(request, sizeof request,
        "POST /notify HTTP/1.1\r\nHost: sessions.internal\r\nUser-Agent: app/1.0\r\n"
        "Accept: application/json\r\nContent-Type: application/json\r\n"
        "Content-Length: %zu\r\n\r\n%s", length, body);
    send_request(c, n, request, size);
}

/* Hold the answer to a notify against the one that is due. */
static void judge_answer(const struct notify *n, const char *answer, const char *body, bool has_length) {
    struct room *room = &rooms[n->room];
    char due[TEXT];
    uint32_t stalled = 0;
    for (uint32_t i = room->first; i < room->first + room->size; i++)
        stalled += members[i].stalled && members[i].due == room->epoch;
    fill(due, say.answer, room, 0, room->epoch, n->due + stalled);
    bool right = starts(answer, strlen(answer), "HTTP/1.1 200 ") && has_length;
    /* A server may leave out those whose connections it knows to be lost. */
    if (right && !stalled) right = starts(body, strlen(body), due);
    if (!right) fault(&faults.wrong, "wanted 200 and %s, got: %.12s ... %.200s", due, answer, body);
}

static void judge_verdict(const char *answer, const char *body) {
    if (!starts(answer, strlen(answer), say.status) || !starts(body, strlen(body), say.verdict))
        fault(&faults.wrong, "wanted %.20s and %.200s, got: %.12s ... %.200s", say.status, say.verdict,
              answer, body);
}

static void hear_answer(struct caller *c) {
    int64_t at;
    if (c->size < c->have + 4 * BUFFER && !(c->buffer = realloc(c->buffer, c->size = 2 * c->size + 8 * BUFFER)))
        die("memory");
    ssize_t got = receive(c->fd, c->buffer + c->have, c->size - 1 - c->have, &at);
    if (got < 0 && errno == EAGAIN) return;
    struct notify *n = c->notify;
    if (got <= 0 && !n) { /* it was idle for too long: open another one, as a pool does */
        close_socket(&c->fd, false);
        return open_caller(c);
    }
    if (got <= 0 || !n) {
        fault(&faults.unanswered, "a caller %s", got > 0 ? "got an answer too many" : "lost its connection");
        watch(EPOLL_CTL_DEL, c->fd, 0, 0);
        return;
    }
    c->buffer[c->have += got] = 0;
    char *over = strstr(c->buffer, "\r\n\r\n"), *length = strcasestr(c->buffer, "\r\ncontent-length:");
    if (!over || (length && strlen(over + 4) < strtoul(length + 17, NULL, 10))) return;
    if (n->room == NO_ROOM) judge_verdict(c->buffer, over + 4);
    else judge_answer(n, c->buffer, over + 4, length);
    n->answered = c->free_since = at;
    c->notify = NULL;
    if (n->room != NO_ROOM) settle_room(&rooms[n->room]);
}

static struct caller *free_caller(void) {
    for (uint32_t i = 0; i < caller_count; i++)
        if (!callers[i].notify) return &callers[i];
    return NULL;
}

/* -- the loop --------------------------------------------------------------------------- */

/* Take what has come; wait for it until then at the most. */
static void pump(int64_t until) {
    struct epoll_event events[16]; /* few, because something else may be due */
    int64_t left = until - now();
    if (left < 0) left = 0;
    struct timespec timeout = {left / SECOND, left % SECOND};
    int count = epoll_pwait2(epoll, events, 16, &timeout, NULL);
    if (count < 0 && errno != EINTR) die("epoll_pwait2");
    for (int i = 0; i < count; i++) {
        uint64_t whom = events[i].data.u64;
        if (whom & CALLER) hear_answer(&callers[(uint32_t)whom]);
        else if (whom & REQUESTS) {
            if (members[(uint32_t)whom].requests) hear_requests(&members[(uint32_t)whom]);
        } else if (members[whom].state != GONE) hear(&members[whom]);
    }
}

static void pump_for(int64_t ns) {
    for (int64_t until = now() + ns; now() < until;) pump(until);
}

/* Wait until everybody is told and answered; what is still due then is missing. */
static void finish(struct notify *list, uint32_t count) {
    int64_t until = now() + patience;
    uint32_t open = 0;
    do {
        for (open = 0; open < count && list[open].answered && list[open].told == list[open].due;)
            open++;
        if (open == count) break;
        pump(until);
    } while (now() < until);
    if (part)
        for (uint32_t i = 0, left = 1; left && now() < until; pump(now() + SECOND / 100))
            for (i = left = 0; i < member_count; i++) left += members[i].state == LEAVING;
    pump_for(QUIET);
    for (uint32_t i = 0; i < count; i++) {
        struct notify *n = &list[i];
        if (!n->answered && n->room == NO_ROOM) fault(&faults.unanswered, "no answer to a question");
        else if (!n->answered)
            fault(&faults.unanswered, "no answer to a notify of r%" PRIu32, rooms[n->room].name);
        if (n->told >= n->due) continue;
        fault(&faults.missing, "of r%" PRIu32 " %" PRIu32 " members were told, and %" PRIu32 " were due",
              rooms[n->room].name, n->told, n->due);
        faults.missing += n->due - n->told - 1;
    }
}

/* -- the commands ----------------------------------------------------------------------- */

static double number(const char *line, const char *name, double otherwise) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, " %s=", name);
    const char *found = strstr(line, wanted);
    return found ? strtod(found + strlen(wanted), NULL) : otherwise;
}

static void list(const char *name, const int64_t *values, size_t count) {
    printf(",\"%s\":[", name);
    for (size_t i = 0; i < count; i++) printf(i ? ",%" PRId64 : "%" PRId64, values[i]);
    printf("]");
}

static uint32_t add_room(uint32_t size) {
    while (member_count + size > member_room)
        members = realloc(members, (member_room = 2 * member_room + 1024) * sizeof *members);
    while (room_count + 1 > room_room)
        rooms = realloc(rooms, (room_room = 2 * room_room + 1024) * sizeof *rooms);
    if (!members || !rooms) die("memory");
    rooms[room_count] = (struct room){.name = next_name++, .first = member_count, .size = size};
    for (uint32_t i = 0; i < size; i++)
        members[member_count++] =
            (struct member){.fd = -1, .room = room_count, .session = next_session++};
    return room_count++;
}

/* Let members in, no more than `inflight` at once; report how long each had to wait. */
static void let_in(uint32_t first, uint32_t count, uint32_t inflight, bool at_once) {
    int64_t began = now(), last = began, until = began + 15 * patience;
    for (uint32_t i = 0; (i < count || arriving) && now() < until;) {
        for (int few = 0; few < 32 && i < count && arriving < inflight; few++) {
            struct member *m = &members[first + i++];
            m->intended = at_once ? began : now();
            start(m);
        }
        pump(i < count && arriving < inflight ? now() : until);
    }
    int64_t *waited = malloc((count + 1) * sizeof *waited);
    size_t joined = 0;
    for (uint32_t i = first; i < first + count; i++) {
        struct member *m = &members[i];
        if (m->state != JOINED) {
            fault(&faults.missing, "s%" PRIu32 " was not let in", m->session);
            continue;
        }
        waited[joined++] = m->at - m->intended;
        if (m->at > last) last = m->at;
    }
    printf(",\"seconds\":%.9f", (double)(last - began) / SECOND);
    list("joined", waited, joined);
    free(waited);
}

static void do_join(const char *line) {
    uint32_t count = number(line, "rooms", 1), size = number(line, "size", 1);
    double stalled = number(line, "stalled", 0), share = 0;
    uint32_t first = member_count;
    printf(",\"first\":%" PRIu32, room_count);
    for (uint32_t i = 0; i < count; i++) add_room(size);
    for (uint32_t i = first; i < member_count; i++)
        if ((share += stalled) >= 1) {
            members[i].stalled = true;
            share -= 1;
        }
    let_in(first, member_count - first, number(line, "inflight", 64), false);
}

static void do_drop(const char *line) {
    (void)line;
    for (uint32_t i = 0; i < member_count; i++) end(&members[i], true);
    close_callers();
}

static void do_leave(const char *line) {
    do_drop(line);
    member_count = room_count = 0;
}

/* Everybody comes back at once, to a server that has been restarted. */
static void do_rejoin(const char *line) {
    for (uint32_t i = 0; i < room_count; i++) rooms[i].epoch = 0, rooms[i].notify = NULL;
    retry = true;
    let_in(0, member_count, number(line, "inflight", UINT32_MAX), true);
    retry = false;
}

static void do_idle(const char *line) {
    for (uint32_t i = 0; i < member_count; i++) members[i].beats = 0;
    pump_for(number(line, "seconds", 1) * SECOND);
    uint64_t all = 0;
    uint32_t fewest = UINT32_MAX, most = 0, alive = 0;
    for (uint32_t i = 0; i < member_count; i++) {
        struct member *m = &members[i];
        if (m->state != JOINED || m->stalled) continue;
        alive++;
        all += m->beats;
        if (m->beats < fewest) fewest = m->beats;
        if (m->beats > most) most = m->beats;
    }
    printf(",\"members\":%" PRIu32 ",\"beats\":%" PRIu64 ",\"fewest\":%" PRIu32 ",\"most\":%" PRIu32,
           alive, all, alive ? fewest : 0, most);
}

/* Those who never read send pings until the answers have filled the kernel's buffers, 30 to 60 KiB,
 * and some more wait in the server; not so many that it would close the connection. */
static void do_flood(const char *line) {
    uint8_t frame[131] = {0x80 | PING_FRAME, 0x80 | 125}, block[100 * sizeof frame];
    uint32_t limit = number(line, "bytes", 80 << 10);
    int64_t until = now() + number(line, "seconds", 20) * SECOND;
    uint64_t all = 0;
    for (int i = 0; i < 100; i++) memcpy(block + i * sizeof frame, frame, sizeof frame);
    for (uint64_t before = 1; before != all && now() < until; pump_for(SECOND / 5)) {
        before = all;
        for (uint32_t i = 0; i < member_count; i++) {
            struct member *m = &members[i];
            while (m->stalled && m->state == JOINED && m->flooded < limit) {
                /* Where the last one was cut, because the block repeats. */
                size_t from = m->flooded % sizeof frame;
                ssize_t sent = send(m->fd, block + from, sizeof block - from, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (sent <= 0) break;
                m->flooded += sent;
                all += sent;
            }
        }
    }
    printf(",\"bytes\":%" PRIu64, all);
}

/* One notify of one room, with nobody reading until it is answered: the server has the machine. */
static void do_fanout(const char *line) {
    struct notify n = {.room = number(line, "room", 0)};
    struct room *room = &rooms[n.room];
    open_callers(1);
    n.intended = now();
    post(&callers[0], &n, members[room->first].session);
    struct pollfd answer = {callers[0].fd, POLLIN, 0};
    while (!n.answered && poll(&answer, 1, patience / (SECOND / 1000)) > 0 && !faults.unanswered)
        hear_answer(&callers[0]);
    finish(&n, 1);
    int64_t *after = malloc(room->size * sizeof *after);
    size_t told = 0;
    for (uint32_t i = room->first; i < room->first + room->size; i++)
        if (members[i].told && !members[i].stalled) after[told++] = members[i].at - n.intended;
    printf(",\"answered\":%" PRId64, n.answered - n.intended);
    list("arrived", after, told);
    free(after);
    room->notify = NULL;
}

static void report(const struct notify *all, uint32_t count, int64_t began) {
    int64_t *values = malloc((count + 1) * sizeof *values), last = began;
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].answered > last) last = all[i].answered;
        if (all[i].event > last) last = all[i].event;
    }
    printf(",\"seconds\":%.9f", (double)(last - began) / SECOND);
    for (uint32_t i = 0; i < count; i++) values[i] = all[i].event - all[i].intended;
    list("event", values, count);
    for (uint32_t i = 0; i < count; i++) values[i] = all[i].answered - all[i].intended;
    list("answer", values, count);
    for (uint32_t i = 0; i < count; i++) values[i] = all[i].late;
    list("late", values, count);
    free(values);
}

/* Notifies of rooms of two, one room after the other: the first time round the older member of
 * a room is ended by the younger one, the second time the younger one by a login whose page is
 * not there yet. At `rate` a second; or as fast as they are answered. Meanwhile, if wanted, one
 * fan-out to another room, by a caller of its own. */
static void do_notify(const char *line) {
    uint32_t count = number(line, "count", 1), first = number(line, "first", 0);
    uint32_t turn = number(line, "pass", 1), fan = number(line, "fan", UINT32_MAX);
    double rate = number(line, "rate", 0);
    bool fanning = fan != UINT32_MAX;
    struct notify *all = calloc(count + 1, sizeof *all), *large = &all[count];
    if (!all) die("memory");
    close_callers();
    open_callers(number(line, "callers", 64) + fanning);
    struct caller *apart = fanning ? &callers[--caller_count] : NULL;
    pump_for(SECOND / 100);
    int64_t began = now(), until = began + 6 * patience;
    int64_t fan_at = began + number(line, "at", 0) * SECOND;
    for (uint32_t i = 0, pending = fanning; (i < count || pending) && now() < until;) {
        struct caller *c = NULL;
        int64_t t = now(), next = until;
        if (pending && fan_at <= t) {
            *large = (struct notify){.room = fan, .intended = fan_at};
            post(apart, large, members[rooms[fan].first].session);
            pending = 0;
        } else if (pending)
            next = fan_at;
        while (i < count && (c = free_caller())) {
            int64_t due = rate ? began + (int64_t)(i / rate * SECOND) : now();
            struct room *room = &rooms[first + i];
            if (due > now()) {
                next = due < next ? due : next;
                break;
            }
            if (room->busy) {
                c = NULL;
                break;
            }
            all[i] = (struct notify){.room = first + i, .intended = due};
            post(c, &all[i], turn == 1 ? members[room->first + 1].session : next_session++);
            i++;
        }
        if (faults.unanswered) break;
        pump(i < count || pending ? next : now());
    }
    finish(all, count + (fanning && large->intended));
    report(all, count, began);
    if (fanning) {
        caller_count++;
        printf(",\"fan\":{\"began\":%" PRId64 ",\"last\":%" PRId64 "}", large->intended - began,
               large->event - large->intended);
    }
    for (uint32_t i = 0; i < room_count; i++) rooms[i].notify = NULL;
    free(all);
}

/* Questions, each as soon as a caller is free. */
static void do_ask(const char *line) {
    uint32_t count = number(line, "count", 1);
    struct notify *all = calloc(count, sizeof *all);
    if (!all) die("memory");
    close_callers();
    open_callers(number(line, "callers", 1));
    pump_for(SECOND / 100);
    int64_t began = now(), until = began + 6 * patience;
    for (uint32_t i = 0; i < count && now() < until && !faults.unanswered;) {
        struct caller *c = free_caller();
        if (c) {
            all[i].intended = now();
            ask(c, &all[i++]);
        }
        pump(c ? now() : until);
    }
    finish(all, count);
    report(all, count, began);
    free(all);
}

/* Notifies of rooms of two, one after the other, as `do_notify` makes them; before each of them so
 * many questions, one after the other. */
static void do_between(const char *line) {
    uint32_t count = number(line, "count", 1), first = number(line, "first", 0);
    uint32_t turn = number(line, "pass", 1), questions = number(line, "questions", 0);
    struct notify *all = calloc(count, sizeof *all);
    if (!all) die("memory");
    close_callers();
    open_callers(2);
    pump_for(SECOND / 100);
    int64_t began = now(), until = began + 6 * patience;
    for (uint32_t i = 0; i < count; i++) {
        struct room *room = &rooms[first + i];
        for (uint32_t asked = 0; asked < questions; asked++) {
            struct notify question = {.intended = now()};
            ask(&callers[1], &question);
            while (!question.answered && now() < until && !faults.unanswered) pump(until);
            callers[1].notify = NULL; /* it is gone from here */
        }
        all[i] = (struct notify){.room = first + i, .intended = now()};
        if (faults.unanswered || all[i].intended > until) break;
        post(&callers[0], &all[i], turn == 1 ? members[room->first + 1].session : next_session++);
        while (room->busy && now() < until && !faults.unanswered) pump(until);
    }
    finish(all, count);
    report(all, count, began);
    for (uint32_t i = 0; i < room_count; i++) rooms[i].notify = NULL;
    free(all);
}

/* Rooms of two where everything happens at once: somebody joins each room that has one member;
 * of a room that has two, the younger one's login is notified, and the older one is told and
 * closes; or the older one leaves by itself. Each at its own rate. */
struct ring {
    uint32_t *rooms, from, to, size;
};

static void put(struct ring *ring, uint32_t room) { ring->rooms[ring->to++ % ring->size] = room; }

static bool take(struct ring *ring, uint32_t *room) {
    if (ring->from == ring->to) return false;
    *room = ring->rooms[ring->from++ % ring->size];
    return true;
}

static void do_churn(const char *line) {
    int64_t began = now(), until = began + number(line, "seconds", 60) * SECOND;
    double notify_rate = number(line, "notifies", 100), leave_rate = number(line, "leaves", 100);
    double join_rate = notify_rate + leave_rate, seconds = (double)(until - began) / SECOND;
    uint32_t most = seconds * notify_rate + 1, posted = 0, left = 0, came = 0, skipped = 0;
    struct notify *all = calloc(most, sizeof *all);
    int64_t *waited = calloc(seconds * join_rate + 1, sizeof *waited);
    struct ring full = {calloc(room_count, 4), 0, 0, room_count}, lone = {calloc(room_count, 4), 0, 0, room_count},
                coming = {calloc(room_count, 4), 0, 0, room_count}, going = {calloc(room_count, 4), 0, 0, room_count};
    size_t joined = 0;
    uint32_t r;
    for (uint32_t i = 0; i < member_count; i++) members[i].beats = 0;
    for (uint32_t i = 0; i < room_count; i++) put(&full, i);
    close_callers();
    open_callers(number(line, "callers", 64));
    part = true;
    uint64_t beats = 0;
    while (now() < until && !faults.unanswered) {
        int64_t t = now();
        struct caller *c;
        int64_t notify_at = began + (int64_t)(posted / notify_rate * SECOND);
        int64_t leave_at = began + (int64_t)(left / leave_rate * SECOND);
        int64_t join_at = began + SECOND / 10 + (int64_t)(came / join_rate * SECOND);
        if (notify_at <= t && posted < most && (c = free_caller()) && take(&full, &r)) {
            all[posted] = (struct notify){.room = r, .intended = notify_at};
            post(c, &all[posted++], members[rooms[r].first + 1].session);
            put(&going, r);
        }
        if (leave_at <= t && take(&full, &r)) {
            say_goodbye(&members[rooms[r].first]);
            rooms[r].notify = NULL;
            put(&going, r);
            left++;
        }
        /* The ones whose older member has gone move up, and are one short. */
        while (going.from != going.to) {
            r = going.rooms[going.from % going.size];
            struct member *old = &members[rooms[r].first];
            if (rooms[r].busy || old->state != GONE) break;
            going.from++;
            beats += old->beats;
            put(&lone, r);
        }
        if (join_at <= t && take(&lone, &r)) {
            struct member *old = &members[rooms[r].first], *young = old + 1;
            struct member moved = *young;
            *young = *old;
            *old = moved;
            watch(EPOLL_CTL_MOD, old->fd, EPOLLIN, old - members);
            young->session = next_session++;
            young->intended = join_at;
            start(young);
            put(&coming, r);
            came++;
        } else if (join_at + SECOND < t)
            skipped++;
        while (coming.from != coming.to) {
            r = coming.rooms[coming.from % coming.size];
            struct member *young = &members[rooms[r].first + 1];
            if (young->state != JOINED) break;
            coming.from++;
            waited[joined++] = young->at - young->intended;
            put(&full, r);
        }
        int64_t next = notify_at < leave_at ? notify_at : leave_at;
        next = next < join_at ? next : join_at;
        pump(next <= t ? t + SECOND / 10000 : next);
    }
    finish(all, posted);
    while (arriving && now() < until + patience) pump(until + patience);
    if (arriving) fault(&faults.missing, "%" PRIu32 " members were not let in", arriving);
    part = false;
    report(all, posted, began);
    list("joined", waited, joined);
    for (uint32_t i = 0; i < member_count; i++) beats += members[i].beats;
    printf(",\"left\":%" PRIu32 ",\"beats\":%" PRIu64 ",\"starved\":%" PRIu32, left, beats, skipped);
    for (uint32_t i = 0; i < room_count; i++) rooms[i].notify = NULL;
    free(all), free(waited), free(full.rooms), free(lone.rooms), free(coming.rooms), free(going.rooms);
}

static void do_set(const char *line) {
    struct { const char *name; char *value; } settings[] = {
        {"path", say.path}, {"greeting", say.greeting}, {"greeting_reply", say.greeting_reply},
        {"opened", say.opened}, {"join", say.join}, {"joined", say.joined},
        {"terminate", say.terminate}, {"beat", say.beat}, {"beat_reply", say.beat_reply},
        {"notify", say.notify}, {"answer", say.answer}, {"question", say.question},
        {"status", say.status}, {"verdict", say.verdict}, {"last", say.last},
        {"poll", say.poll}, {"taken", say.taken}, {"probe", say.probe}, {"probed", say.probed},
        {"nothing", say.nothing}, {"gone_over", say.gone_over}};
    const char *name = strchr(line, ' ') + 1, *value = strchr(name, ' ') + 1;
    if (starts(name, strlen(name), "key ")) {
        sscanf(value, "%31s %31s", keys[key_count].key, keys[key_count].accept);
        if (key_count < KEYS - 1) key_count++;
    }
    if (starts(name, strlen(name), "patience ")) patience = strtod(value, NULL) * SECOND;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (!strncmp(name, settings[i].name, value - name - 1) && !settings[i].name[value - name - 1])
            strcpy(settings[i].value, value);
}

static void carry_out(const char *line) {
    static const struct { const char *name; void (*run)(const char *); } commands[] = {
        {"join", do_join}, {"drop", do_drop}, {"leave", do_leave}, {"rejoin", do_rejoin},
        {"idle", do_idle}, {"flood", do_flood}, {"fanout", do_fanout}, {"notify", do_notify},
        {"churn", do_churn}, {"ask", do_ask}, {"between", do_between}};
    size_t length = strcspn(line, " ");
    struct rusage before, after;
    int64_t began = clock_ns(CLOCK_MONOTONIC), offset = now() - began;
    memset(&faults, 0, sizeof faults);
    getrusage(RUSAGE_SELF, &before);
    printf("{\"command\":\"%.*s\"", (int)length, line);
    size_t i = 0, count = sizeof commands / sizeof *commands;
    while (i < count && (strncmp(line, commands[i].name, length) || commands[i].name[length])) i++;
    if (i < count) commands[i].run(line);
    else fault(&faults.wrong, "there is no command like %s", line);
    getrusage(RUSAGE_SELF, &after);
    int64_t over = clock_ns(CLOCK_MONOTONIC);
    if (llabs(now() - over - offset) > SECOND / 1000) fault(&faults.clock, "the clock was set");
    double cpu = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) + (after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
                 1e-6 * (after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec);
    printf(",\"busy\":%.4f,\"faults\":{\"missing\":%" PRIu64 ",\"duplicate\":%" PRIu64 ",\"wrong\":%" PRIu64
           ",\"lost\":%" PRIu64 ",\"unanswered\":%" PRIu64 ",\"clock\":%" PRIu64 "},\"fault\":\"%s\"}\n",
           cpu * SECOND / (over - began), faults.missing, faults.duplicate, faults.wrong, faults.lost,
           faults.unanswered, faults.clock, faults.first);
    fflush(stdout);
}

int main(int argc, char **argv) {
    struct rlimit files;
    char line[2 * TEXT];
    if (argc != 3) return fprintf(stderr, "usage: load PORT HTTP_PORT\n"), 2;
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    http_server = server;
    http_server.sin_port = htons(atoi(argv[2]));
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    prctl(PR_SET_TIMERSLACK, 1);
    /* The kernel stamps packets while somebody wants it to, and needs a moment to begin. */
    open_socket(false);
    usleep(20000);
    if ((epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1");
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (starts(line, strlen(line), "set ")) do_set(line);
        else carry_out(line);
    }
    return 0;
}
