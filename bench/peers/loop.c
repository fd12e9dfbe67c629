/* The limit: what the same job costs with nothing around it but epoll and send(2).
 *
 * It takes the load generator's own messages and no others: no limits, no checks, no timeouts.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER 2048

struct peer {
    unsigned session;
    int next; /* of the same room, or -1 */
    enum { HTTP, ARRIVED, MEMBER } kind;
    size_t have;
    char *buffer;
};

static struct peer peers[65536]; /* by file descriptor */
static struct room { unsigned epoch; int first; } *rooms;
static unsigned room_count;

static uint32_t turn(uint32_t x, int by) { return x << by | x >> (32 - by); }

/* SHA-1 of at most 119 bytes (RFC 3174), in Base64. */
static void accept_key(const char *key, size_t length, char *out) {
    uint8_t block[128] = {0}, digest[21] = {0};
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    size_t size = length + 36, blocks = size < 56 ? 1 : 2;
    memcpy(block, key, length);
    memcpy(block + length, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    block[size] = 0x80;
    block[64 * blocks - 2] = size * 8 >> 8;
    block[64 * blocks - 1] = size * 8;
    for (size_t n = 0; n < blocks; n++) {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            const uint8_t *p = block + 64 * n + 4 * i;
            w[i] = i < 16 ? (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]
                          : turn(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
            uint32_t f = i < 20 ? ((b & c) | (~b & d)) + 0x5a827999
                       : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                       : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
                                : (b ^ c ^ d) + 0xca62c1d6;
            uint32_t next = turn(a, 5) + f + e + w[i];
            e = d, d = c, c = turn(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) digest[i] = h[i / 4] >> (24 - 8 * (i % 4));
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 7; i++) {
        uint32_t three = digest[3 * i] << 16 | digest[3 * i + 1] << 8 | digest[3 * i + 2];
        for (int j = 0; j < 4; j++) *out++ = letters[three >> (18 - 6 * j) & 63];
    }
    out[-1] = '=';
    *out = 0;
}

static struct room *room_of(unsigned name) {
    while (name >= room_count) {
        unsigned before = room_count;
        rooms = realloc(rooms, (room_count = 2 * room_count + 1024) * sizeof *rooms);
        for (unsigned i = before; i < room_count; i++) rooms[i] = (struct room){0, -1};
    }
    return &rooms[name];
}

static size_t frame(char *out, const char *text, size_t length) {
    size_t head = length < 126 ? 2 : 4;
    out[0] = (char)0x81;
    out[1] = length < 126 ? length : 126;
    if (head == 4) out[2] = length >> 8, out[3] = length;
    memcpy(out + head, text, length);
    return head + length;
}

static void say(int fd, const char *text, size_t length) {
    if (send(fd, text, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN && errno != EPIPE &&
        errno != ECONNRESET)
        perror("send");
}

static void leave_room(int fd) {
    if (peers[fd].kind == MEMBER)
        for (unsigned r = 0; r < room_count; r++)
            for (int *at = &rooms[r].first; *at >= 0; at = &peers[*at].next)
                if (*at == fd) {
                    *at = peers[fd].next;
                    return;
                }
}

static void part(int fd) {
    free(peers[fd].buffer);
    peers[fd] = (struct peer){0};
    close(fd);
}

static void notify(int fd, unsigned name, const char *sender) {
    struct room *room = room_of(name);
    char text[256], out[300], answer[600];
    unsigned spared = ~0u, told = 0;
    sscanf(sender, "s%u", &spared);
    room->epoch++;
    size_t size = frame(out, text, sprintf(text,
        "{\"type\":\"terminate\",\"room\":\"r%u\",\"epoch\":%u,\"reason\":\"login\",\"detail\":null,"
        "\"reconnect\":false}", name, room->epoch));
    int kept = -1;
    for (int next, member = room->first; member >= 0; member = next) {
        next = peers[member].next;
        if (peers[member].session == spared) {
            peers[member].next = kept;
            kept = member;
            continue;
        }
        say(member, out, size);
        peers[member].kind = ARRIVED;
        told++;
    }
    room->first = kept;
    int length = sprintf(text, "{\"room\":\"r%u\",\"epoch\":%u,\"terminated\":%u,\"acked\":0,\"pending\":%u}",
                         name, room->epoch, told, told);
    say(fd, answer, sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                            "Content-Length: %d\r\n\r\n%s", length, text));
}

/* Take a request off the buffer; return its size, or 0 if it is not whole yet. */
static size_t request(int fd, char *text) {
    char *over = strstr(text, "\r\n\r\n");
    if (!over) return 0;
    if (!strncmp(text, "GET ", 4)) {
        char *key = strcasestr(text, "\r\nsec-websocket-key: ") + 21, accept[40], out[256];
        accept_key(key, strcspn(key, "\r"), accept);
        say(fd, out, sprintf(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                             "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept));
        peers[fd].kind = ARRIVED;
        return over + 4 - text;
    }
    size_t length = atoi(strcasestr(text, "\r\ncontent-length:") + 17);
    if (strlen(over + 4) < length) return 0;
    unsigned name = 0;
    char sender[64] = "";
    sscanf(over + 4, "{\"room\":\"r%u\"", &name);
    sscanf(strstr(over + 4, "\"sender\":") + 9, "\"%63[^\"]", sender);
    notify(fd, name, sender);
    return over + 4 - text + length;
}

/* Take a frame off the buffer; return its size, or 0 if it is not whole yet. */
static size_t hear(int fd, uint8_t *data, size_t have) {
    if (have < 6) return 0;
    size_t length = data[1] & 127;
    if (have < length + 6) return 0;
    char text[128], reply[200], out[300];
    for (size_t i = 0; i < length; i++) text[i] = data[6 + i] ^ data[2 + i % 4];
    text[length] = 0;
    unsigned name, session;
    if ((data[0] & 15) == 9) { /* a ping */
        data[1] &= 127;
        memmove(out + 2, text, length);
        out[0] = (char)0x8a;
        out[1] = length;
        say(fd, out, length + 2);
    } else if ((data[0] & 15) == 8) { /* a close */
        say(fd, "\x88\x02\x03\xe8", 4);
        leave_room(fd);
        part(fd);
        return 0;
    } else if (sscanf(text, "{\"type\":\"join\",\"room\":\"r%u\",\"session\":\"s%u\"}", &name, &session) == 2) {
        struct room *room = room_of(name);
        peers[fd].session = session;
        peers[fd].kind = MEMBER;
        peers[fd].next = room->first;
        room->first = fd;
        say(fd, out, frame(out, reply, sprintf(reply,
            "{\"type\":\"joined\",\"room\":\"r%u\",\"session\":\"s%u\",\"epoch\":%u,\"heartbeat\":25}",
            name, session, room->epoch)));
    }
    return length + 6;
}

static void readable(int fd) {
    struct peer *p = &peers[fd];
    if (!p->buffer) p->buffer = malloc(BUFFER);
    ssize_t got = recv(fd, p->buffer + p->have, BUFFER - 1 - p->have, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        leave_room(fd);
        part(fd);
        return;
    }
    p->buffer[p->have += got] = 0;
    size_t done = 0, size;
    while (p->buffer && done < p->have &&
           (size = p->kind == HTTP ? request(fd, p->buffer + done)
                                   : hear(fd, (uint8_t *)p->buffer + done, p->have - done)))
        done += size;
    if (!p->buffer) return;
    memmove(p->buffer, p->buffer + done, p->have -= done);
    p->buffer[p->have] = 0;
    if (!p->have) { /* an idle peer has nothing but its descriptor */
        free(p->buffer);
        p->buffer = NULL;
    }
}

/* A text and a ping for the members of one slot out of fifty. */
static void beat(unsigned slot) {
    char text[64], out[80];
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    size_t size = frame(out, text, sprintf(text, "{\"type\":\"heartbeat\",\"time\":%lld}",
                        (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000));
    memcpy(out + size, "\x89\x00", 2);
    for (int fd = slot; fd < 65536; fd += 50)
        if (peers[fd].kind == MEMBER) say(fd, out, size + 2);
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: loop PORT HEARTBEAT\n"), 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1, epoll = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 65535))
        return perror("listen"), 1;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listening}, events[512];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &event);
    double heartbeat = atof(argv[2]);
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    double next = t.tv_sec + t.tv_nsec * 1e-9 + heartbeat / 50;
    for (unsigned slot = 0;;) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        double left = next - (t.tv_sec + t.tv_nsec * 1e-9);
        if (heartbeat && left <= 0) {
            beat(slot++ % 50);
            next += heartbeat / 50;
            continue;
        }
        int count = epoll_wait(epoll, events, 512, heartbeat ? left * 1000 + 1 : -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd != listening) {
                readable(fd);
                continue;
            }
            while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                peers[fd] = (struct peer){0};
                event.data.fd = fd;
                epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
            }
        }
    }
}
