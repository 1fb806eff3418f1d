/* What the files that read a server's bytes share: answer.c walks over values and pairs answers,
 * push.c knows pushes and confirmations, transaction.c what is between MULTI and EXEC. */
#ifndef PROTOCOLS_REDIS_ANSWER_INT_H
#define PROTOCOLS_REDIS_ANSWER_INT_H

#include "protocols/redis/redis_int.h"
#include "protocols/redis/value.h"

/* ---- answer.c ---- */

/* A message begins here (or with the attributes before it); a field of it; its end here. */
void answer_open(struct walk *w, enum msg_kind kind, uint64_t key);
void answer_tell(struct walk *w, enum field_id f, struct slice v);
enum step answer_end_here(struct walk *w);

/* Facts of the session. */
void answer_tell_session(struct walk *w, enum field_id f, struct slice v);
void answer_tell_number(struct walk *w, enum field_id f, uint32_t v);

/* An aggregate with what v says of it begins inside what is open. */
void answer_aggregate(struct answer *a, const struct value *v);
/* A value has ended. Whether that was the whole of what is at the top; attributes are not. */
bool answer_value_ends(struct answer *a);
/* What is at the top has ended. */
enum step answer_top_ends(struct walk *w);

/* The answer that the oldest open request has waited for; and the rest of one whose message is open. */
enum step answer_start(struct walk *w, const struct value *v);
enum step answer_rest(struct walk *w, const struct value *v);

/* Whether what stands here may be for a request that comes only now: its sender's call may end behind
 * the other thread's that has read the answer. */
bool answer_comes_early(const struct walk *w);

/* ---- push.c ---- */

/* A push or a confirmation at the cursor. STEP_LOST: it is neither. */
enum step push_try(struct walk *w, uint8_t mark);
/* Whether pushes are to be expected among arrays. */
bool push_expected(struct redis *r);
/* Whether the class of a request says that it has confirmations; one of them has ended. */
bool push_confirms(unsigned int class);
enum step push_confirmed(struct walk *w);

/* ---- transaction.c ---- */

/* An answer inside that of EXEC; one while a transaction is open. */
enum step transaction_queued(struct walk *w, const struct value *v);
enum step transaction_answer(struct walk *w, const struct value *v);

#endif
