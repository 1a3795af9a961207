/* The cheapest receiving side we could write: one thread, epoll, STARTTLS, DATA and BDAT. It accepts everything.
 *
 *   cc -O2 -o sink sink.c -lssl -lcrypto
 *   sink PORT [-a ADDRESS] [-t CERT KEY] [-n MESSAGES] [-r FILE] [-P] [-B]
 *
 * -t offers STARTTLS; -n ends after so many messages; -r appends each accepted recipient to FILE, one a line;
 * -P offers no PIPELINING; -B offers CHUNKING. Prints "ready" on standard error once it listens, and what it saw as
 * one line of JSON on standard output when it ends: by -n, SIGTERM or SIGINT.
 *
 * A "turn" is one flush of replies after a read: turns per message is what the sender pays in round trips.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_MAX = 65536, OUT_MAX = 16384, LINE_MAX_OCTETS = 1024, RCPT_MAX = 320, EVENTS = 256 };

/* What the connection's next octets are. */
enum phase { COMMANDS, DATA, CHUNK, HANDSHAKE, CLOSING };

struct connection {
    int fd;
    SSL *tls;
    enum phase phase;
    bool line_start; /* in DATA: the next octet begins a line */
    bool last_chunk;
    bool has_recipient;
    long chunk_left;
    long messages;
    char recipient[RCPT_MAX];
    size_t in_used, out_used;
    char in[IN_MAX], out[OUT_MAX];
};

static struct {
    const char *address, *certificate, *key;
    int port;
    long limit;
    bool pipelining, chunking;
    FILE *recipients;
    SSL_CTX *tls;
} options = {.address = "127.0.0.1", .limit = -1, .pipelining = true};

static struct {
    long messages, recipients, connections, open, peak, handshakes, resumed, most_per_connection, turns;
    double first, first_message, last;
} seen;

static volatile sig_atomic_t stopping;

static void stop(int signal_number)
{
    (void)signal_number;
    stopping = 1;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void report(void)
{
    printf("{\"messages\":%ld,\"recipients\":%ld,\"connections\":%ld,\"peak_connections\":%ld,\"handshakes\":%ld,"
           "\"resumed\":%ld,\"most_per_connection\":%ld,\"turns\":%ld,\"first\":%.6f,\"first_message\":%.6f,\"last\":%.6f}\n",
           seen.messages, seen.recipients, seen.connections, seen.peak, seen.handshakes, seen.resumed,
           seen.most_per_connection, seen.turns, seen.first, seen.first_message, seen.last);
    if (options.recipients)
        fclose(options.recipients);
}

/* Replies are ours and short; a peer that asks faster than it reads loses them, and so its session. */
static void say(struct connection *c, const char *text)
{
    size_t length = strlen(text);
    if (c->out_used + length <= OUT_MAX) {
        memcpy(c->out + c->out_used, text, length);
        c->out_used += length;
    } else {
        c->phase = CLOSING;
    }
}

static void consume(struct connection *c, size_t octets)
{
    memmove(c->in, c->in + octets, c->in_used - octets);
    c->in_used -= octets;
}

static void accept_message(struct connection *c)
{
    if (options.recipients)
        fprintf(options.recipients, "%s\n", c->recipient);
    c->messages++;
    if (c->messages > seen.most_per_connection)
        seen.most_per_connection = c->messages;
    seen.last = now();
    if (!seen.messages++)
        seen.first_message = seen.last;
    if (seen.messages == options.limit)
        stopping = 1; /* once what is due has been said */
    c->has_recipient = false;
    c->phase = COMMANDS;
    say(c, "250 2.0.0 Ok: queued as 0123456789\r\n");
}

static void take_recipient(struct connection *c, const char *line)
{
    const char *open = strchr(line, '<'), *close = open ? strchr(open, '>') : NULL;
    if (!close || close - open > RCPT_MAX) {
        say(c, "501 5.1.3 bad recipient\r\n");
        return;
    }
    memcpy(c->recipient, open + 1, (size_t)(close - open - 1));
    c->recipient[close - open - 1] = 0;
    c->has_recipient = true;
    seen.recipients++;
    say(c, "250 2.1.5 Ok\r\n");
}

static void hello(struct connection *c)
{
    say(c, "250-sink\r\n");
    if (options.pipelining)
        say(c, "250-PIPELINING\r\n");
    if (options.chunking)
        say(c, "250-CHUNKING\r\n");
    if (options.tls && !c->tls)
        say(c, "250-STARTTLS\r\n");
    say(c, "250-SIZE 104857600\r\n250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n");
}

static void command(struct connection *c, const char *line)
{
    if (!strncasecmp(line, "MAIL", 4)) {
        c->has_recipient = false;
        say(c, "250 2.1.0 Ok\r\n");
    } else if (!strncasecmp(line, "RCPT", 4)) {
        take_recipient(c, line);
    } else if (!strncasecmp(line, "DATA", 4)) {
        if (c->has_recipient) {
            c->phase = DATA;
            c->line_start = true;
        }
        say(c, c->has_recipient ? "354 go\r\n" : "503 5.5.1 need RCPT\r\n");
    } else if (!strncasecmp(line, "BDAT ", 5)) {
        c->chunk_left = strtol(line + 5, NULL, 10);
        c->last_chunk = strcasestr(line, " LAST") != NULL;
        c->phase = CHUNK;
    } else if (!strncasecmp(line, "EHLO", 4)) {
        hello(c);
    } else if (!strncasecmp(line, "HELO", 4)) {
        say(c, "250 sink\r\n");
    } else if (!strncasecmp(line, "STARTTLS", 8) && options.tls && !c->tls) {
        say(c, "220 2.0.0 Ready\r\n");
        c->phase = HANDSHAKE;
    } else if (!strncasecmp(line, "RSET", 4) || !strncasecmp(line, "NOOP", 4)) {
        say(c, "250 2.0.0 Ok\r\n");
    } else if (!strncasecmp(line, "QUIT", 4)) {
        say(c, "221 2.0.0 Bye\r\n");
        c->phase = CLOSING;
    } else {
        say(c, "502 5.5.2 unknown\r\n");
    }
}

/* False where more octets are needed. */
static bool read_command(struct connection *c)
{
    char *end = memmem(c->in, c->in_used, "\r\n", 2);
    if (!end)
        return false;
    char line[LINE_MAX_OCTETS + 1];
    size_t length = (size_t)(end - c->in), kept = length < LINE_MAX_OCTETS ? length : LINE_MAX_OCTETS;
    memcpy(line, c->in, kept);
    line[kept] = 0;
    consume(c, length + 2);
    command(c, line);
    return true;
}

static bool read_data(struct connection *c)
{
    if (c->line_start && c->in_used >= 3 && !memcmp(c->in, ".\r\n", 3)) {
        consume(c, 3);
        accept_message(c);
        return true;
    }
    char *end = memmem(c->in, c->in_used, "\r\n.\r\n", 5);
    if (end) {
        consume(c, (size_t)(end - c->in) + 5);
        accept_message(c);
        return true;
    }
    if (c->in_used > 4) { /* what may be the beginning of the end stays */
        consume(c, c->in_used - 4);
        c->line_start = false;
    }
    return false;
}

static bool read_chunk(struct connection *c)
{
    size_t octets = (long)c->in_used < c->chunk_left ? c->in_used : (size_t)c->chunk_left;
    consume(c, octets);
    c->chunk_left -= (long)octets;
    if (c->chunk_left)
        return false;
    if (!c->has_recipient) {
        c->phase = COMMANDS;
        say(c, "503 5.5.1 need RCPT\r\n");
    } else if (c->last_chunk) {
        accept_message(c);
    } else {
        c->phase = COMMANDS;
        say(c, "250 2.0.0 Ok\r\n");
    }
    return true;
}

static void process(struct connection *c)
{
    bool more = true;
    while (more) {
        switch (c->phase) {
        case COMMANDS: more = read_command(c); break;
        case DATA: more = read_data(c); break;
        case CHUNK: more = read_chunk(c); break;
        case HANDSHAKE:
        case CLOSING: more = false; break;
        }
    }
}

/* The three below answer 1 for progress, 0 for "later" and -1 for a connection that is over. */
static int tls_status(struct connection *c, int result)
{
    int error = SSL_get_error(c->tls, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return 0;
    ERR_clear_error();
    return -1;
}

static int flush(struct connection *c)
{
    if (c->out_used)
        seen.turns++;
    while (c->out_used) {
        long sent = c->tls ? SSL_write(c->tls, c->out, (int)c->out_used) : send(c->fd, c->out, c->out_used, MSG_NOSIGNAL);
        if (sent <= 0)
            return c->tls ? tls_status(c, (int)sent) : errno == EAGAIN ? 0 : -1;
        memmove(c->out, c->out + sent, c->out_used - (size_t)sent);
        c->out_used -= (size_t)sent;
    }
    return 1;
}

static int fill(struct connection *c)
{
    if (c->in_used >= IN_MAX)
        return -1;
    char *room = c->in + c->in_used;
    size_t size = IN_MAX - c->in_used;
    long got = c->tls ? SSL_read(c->tls, room, (int)size) : recv(c->fd, room, size, 0);
    if (got <= 0)
        return c->tls ? tls_status(c, (int)got) : got < 0 && errno == EAGAIN ? 0 : -1;
    c->in_used += (size_t)got;
    return 1;
}

static int handshake(struct connection *c)
{
    if (!c->tls) {
        c->in_used = 0; /* what came in clear behind STARTTLS is not believed */
        c->tls = SSL_new(options.tls);
        SSL_set_fd(c->tls, c->fd);
    }
    int result = SSL_accept(c->tls);
    if (result != 1)
        return tls_status(c, result);
    seen.handshakes++;
    seen.resumed += SSL_session_reused(c->tls);
    c->phase = COMMANDS;
    return 1;
}

/* Edge-triggered: go on until the socket says "later". */
static int serve(struct connection *c)
{
    for (;;) {
        int status = c->phase == HANDSHAKE ? handshake(c) : fill(c);
        if (status <= 0)
            return status < 0 ? -1 : flush(c);
        process(c);
        if (flush(c) < 0 || c->phase == CLOSING)
            return -1;
    }
}

static void drop(struct connection *c)
{
    if (c->tls)
        SSL_free(c->tls);
    close(c->fd);
    free(c);
    seen.open--;
}

static void welcome(int poll, int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct connection *c = calloc(1, sizeof *c);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->fd = fd;
        if (!seen.connections++)
            seen.first = now();
        if (++seen.open > seen.peak)
            seen.peak = seen.open;
        say(c, "220 sink ESMTP\r\n");
        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    }
}

static int listen_on(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (inet_pton(AF_INET, options.address, &address.sin_addr) != 1 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024)) {
        perror("listen");
        exit(1);
    }
    return fd;
}

static void start_tls(void)
{
    options.tls = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(options.tls, options.certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(options.tls, options.key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    SSL_CTX_set_session_id_context(options.tls, (const unsigned char *)"sink", 4);
    SSL_CTX_set_mode(options.tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static void read_options(int count, char **words)
{
    int option;
    while ((option = getopt(count, words, "a:t:n:r:PB")) != -1) {
        switch (option) {
        case 'a': options.address = optarg; break;
        case 't':
            options.certificate = optarg;
            options.key = words[optind++];
            break;
        case 'n': options.limit = atol(optarg); break;
        case 'r': options.recipients = fopen(optarg, "a"); break;
        case 'P': options.pipelining = false; break;
        case 'B': options.chunking = true; break;
        default: exit(2);
        }
    }
    if (optind >= count) {
        fprintf(stderr, "usage: sink PORT [-a ADDRESS] [-t CERT KEY] [-n MESSAGES] [-r FILE] [-P] [-B]\n");
        exit(2);
    }
    options.port = atoi(words[optind]);
}

int main(int count, char **words)
{
    struct sigaction on_signal = {.sa_handler = stop};
    struct epoll_event events[EVENTS], listening = {.events = EPOLLIN};
    read_options(count, words);
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGTERM, &on_signal, NULL);
    sigaction(SIGINT, &on_signal, NULL);
    if (options.certificate)
        start_tls();
    int listener = listen_on(), poll = epoll_create1(0);
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &listening);
    fprintf(stderr, "ready\n");
    while (!stopping) {
        int ready = epoll_wait(poll, events, EVENTS, 1000);
        for (int place = 0; place < ready; place++) {
            struct connection *c = events[place].data.ptr;
            if (!c)
                welcome(poll, listener);
            else if (serve(c) < 0)
                drop(c);
        }
    }
    report();
    return 0;
}
