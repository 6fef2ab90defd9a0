#include "wk_state.h"

#define STAYS (-1)

/* [state][event]: the next state; STAYS: the event changes nothing. */
static const short next_state[WK_STATE_COUNT][WK_EVENT_COUNT] = {
#define TO(name) WK_STATE_##name
    /*                         WHO           SAME       OTHER          PREPARED   DRAIN LEAVE */
    [WK_STATE_CONNECTING] = {TO(GREETING), STAYS, TO(PREPARING), STAYS, TO(DRAINING), TO(GONE)},
    [WK_STATE_GREETING] = {STAYS, TO(READY), TO(PREPARING), STAYS, TO(DRAINING), TO(GONE)},
    [WK_STATE_PREPARING] = {STAYS, STAYS, STAYS, TO(READY), TO(DRAINING), TO(GONE)},
    [WK_STATE_READY] = {TO(GREETING), STAYS, TO(PREPARING), STAYS, TO(DRAINING), TO(GONE)},
    [WK_STATE_DRAINING] = {STAYS, STAYS, STAYS, STAYS, STAYS, TO(GONE)},
    [WK_STATE_GONE] = {STAYS, STAYS, STAYS, STAYS, STAYS, STAYS},
#undef TO
};

wk_state wk_state_next(wk_state state, wk_event event)
{
    const short next = next_state[state][event];
    return next == STAYS ? state : (wk_state)next;
}

const char *wk_state_name(wk_state state)
{
    static const char *const names[] = {
#define X(name, text) text,
        WK_STATE_MAP(X)
#undef X
    };
    return state < WK_STATE_COUNT ? names[state] : "unknown";
}
