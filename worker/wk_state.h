/** The states of a worker's conversation with its coordinator, and what moves it from one to the
 * next. Thread rule: reentrant. */
#ifndef WK_STATE_H
#define WK_STATE_H

/* X(NAME, text) */
#define WK_STATE_MAP(X)                                                                            \
    X(CONNECTING, "connecting") /* said HELLO, heard nothing yet */                                \
    X(GREETING, "greeting")     /* was asked WHO, said HELLO; what it holds goes on */             \
    X(PREPARING, "preparing")   /* looks for models and data of the campaign */                    \
    X(READY, "ready")           /* may be granted leases */                                        \
    X(DRAINING, "draining")     /* finishes what it holds and takes nothing more */                \
    X(GONE, "gone")             /* has left */

typedef enum wk_state {
#define X(name, text) WK_STATE_##name,
    WK_STATE_MAP(X)
#undef X
        WK_STATE_COUNT
} wk_state;

/** What moves it. */
typedef enum wk_event {
    WK_EVENT_WHO,   /* the coordinator does not know us */
    WK_EVENT_SAME,  /* WELCOME to the campaign that is served or prepared */
    WK_EVENT_OTHER, /* WELCOME to another one */
    WK_EVENT_PREPARED,
    WK_EVENT_DRAIN,
    WK_EVENT_LEAVE,
    WK_EVENT_COUNT
} wk_event;

/** @return the state after an event; the same one where the event changes nothing. */
wk_state wk_state_next(wk_state state, wk_event event);
/** @return "connecting", ... */
const char *wk_state_name(wk_state state);

#endif
