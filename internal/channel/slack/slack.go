// Package slack tells people in Slack: by direct message, and in channels. What it sent about
// a request is changed when the request is decided or over. Nothing is decided there.
//
// Facts of Slack's: https://docs.slack.dev/reference/methods/chat.postMessage, …/chat.update,
// …/users.lookupByEmail, https://docs.slack.dev/apis/web-api/rate-limits.
package slack

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"jitaccess/internal/access"
	"jitaccess/internal/channel"
	"jitaccess/internal/notice"
)

// Channel is the name of this channel in an access.Receipt.
const Channel = "slack"

// Slack implements broker.Notifier. Make one with New; it may be used concurrently.
type Slack struct {
	c channel.Config
	// place is the channel that is told of every request, by its id or its name with #; empty for
	// none.
	place   string
	token   channel.Kept[string]
	caller  channel.Caller
	history notice.History

	mutex sync.Mutex
	// users are the ids of people who were found.
	users map[access.Principal]user
	paces map[string]*rate.Limiter
}

type user struct {
	id string
	at time.Time
}

// New makes a Slack with the bot token that is kept, without making a call. place is the channel
// that is told of every request, by its id or its name with #; empty for none.
func New(c channel.Config, place string) *Slack {
	c.Endpoint = cmp.Or(c.Endpoint, "https://slack.com")
	return &Slack{c: c, place: place, token: channel.Kept[string]{Read: c.Read, Now: c.Now},
		users: map[access.Principal]user{}, paces: map[string]*rate.Limiter{},
		caller: channel.Caller{Service: "Slack", Client: c.Client, Refusal: refusal, Table: explanations, Now: c.Now, Sleep: c.Sleep}}
}

// Enabled is whether there is one.
func (s *Slack) Enabled() bool { return s.c.Read != nil }

// Channels is Slack, if there is one.
func (s *Slack) Channels() []access.Channel {
	if !s.Enabled() {
		return nil
	}
	return []access.Channel{{Name: Channel, People: true, Everything: true, Updates: true}}
}

// Name is that of the channel.
func (s *Slack) Name() string { return Channel }

// Recent is what this instance has lately tried to send; see notice.History.
func (s *Slack) Recent() []notice.Attempt { return s.history.Recent() }

// Notify tells those who must act or know by direct message and, where there are some, the
// channels; and changes what was sent of the request before (Notice.Earlier). Whoever Slack
// does not know is named in the channels instead, and could not be told where there is none.
func (s *Slack) Notify(ctx context.Context, n access.Notice) access.Receipts {
	began := s.c.Now()
	facts, err := s.c.Writer.Write(n)
	if err != nil {
		return access.Receipts{{Channel: Channel, Err: err}}
	}
	t := s.telling(n, facts)
	receipts := t.tell(ctx)
	s.history.Add(n.Kind, receipts, began, s.c.Now(), channel.Failure)
	return receipts
}

// telling is one notice on its way.
type telling struct {
	*Slack
	n     access.Notice
	facts notice.Facts
	// earlier are the messages about the request by whom or what they were addressed to.
	earlier map[string][]ref
}

func (s *Slack) telling(n access.Notice, facts notice.Facts) *telling {
	t := &telling{Slack: s, n: n, facts: facts, earlier: map[string][]ref{}}
	for _, r := range n.Earlier {
		if e, ok := parseRef(r.Ref); ok && r.Channel == Channel {
			t.earlier[e.target] = append(t.earlier[e.target], e)
		}
	}
	return t
}

// people are those who are told by direct message.
func (t *telling) people() (people []access.Principal) {
	if t.n.Kind == access.NoticeHappened || t.n.Kind == access.NoticeSelfApproved || t.elsewhere() {
		return nil
	}
	for _, p := range t.n.To {
		if t.left(p) {
			people = append(people, p)
		}
	}
	return people
}

// elsewhere is whether the rule of the request wants it told in channels that it names alone.
func (t *telling) elsewhere() bool {
	terms := t.n.Request.Terms
	return terms.NotifyOnly && !slices.Contains(terms.Notify, Channel)
}

// left is whether somebody, or channels if p is empty, is still to be told.
func (t *telling) left(p access.Principal) bool {
	return t.n.Left == nil || slices.Contains(t.n.Left, access.Target{Channel: Channel, To: p})
}

// places are the channels that are told.
func (t *telling) places() []string {
	if !t.left("") || channel.Personal(t.n) {
		return nil
	}
	places := t.n.Request.Terms.Places(Channel)
	if t.place != "" && !slices.Contains(places, t.place) && !t.elsewhere() {
		places = append([]string{t.place}, places...)
	}
	return places
}

// standing are the kinds after which a request stands as before: what was sent of it is left.
func (t *telling) standing() bool {
	return channel.Personal(t.n) || t.n.Kind == access.NoticeReview || t.answers()
}

// answers are the kinds that are told as an answer to what was sent before.
func (t *telling) answers() bool {
	return t.n.Kind == access.NoticeBounced ||
		slices.Contains([]access.NoticeKind{access.NoticeReminder, access.NoticeEscalated, access.NoticeEnding}, t.n.Kind)
}

func (t *telling) tell(ctx context.Context) access.Receipts {
	people, places := t.people(), t.places()
	receipts := make([]access.Receipts, len(people)+len(places)+len(t.earlier))
	ids, unknown := make([]string, len(people)), make([]error, len(people))
	each(len(people), func(i int) {
		receipt := access.Receipt{To: people[i], Channel: Channel}
		if ids[i], receipt.Err = t.userID(ctx, people[i]); receipt.Err != nil {
			unknown[i] = receipt.Err
		} else {
			receipt.Ref, receipt.Err = t.at(ctx, ids[i], t.message(false, nil))
		}
		receipts[i] = access.Receipts{receipt}
	})
	var missing []access.Principal
	for i, err := range unknown {
		if channel.CodeOf(err) == notFound {
			missing = append(missing, people[i])
		}
	}
	told := make([]error, len(places))
	each(len(places), func(i int) {
		var receipt access.Receipt
		receipt.Channel = Channel
		receipt.Ref, receipt.Err = t.at(ctx, places[i], t.message(true, missing))
		told[i] = receipt.Err
		receipts[len(people)+i] = access.Receipts{receipt}
	})
	// Whoever is not in Slack was told where a channel was.
	if slices.Contains(told, nil) {
		for i, p := range people {
			if slices.Contains(missing, p) {
				receipts[i][0].Err = nil
			}
		}
	}
	if !t.standing() && t.left("") {
		var others []string
		for target := range t.earlier {
			if !slices.Contains(ids, target) && !slices.Contains(places, target) {
				others = append(others, target)
			}
		}
		each(len(others), func(i int) {
			// What nobody has to know any more, and cannot be changed, is left.
			place := !strings.HasPrefix(others[i], "U") && !strings.HasPrefix(others[i], "W")
			if err := t.change(ctx, others[i], t.message(place, nil)); err != nil && !gone(err) {
				receipts[len(people)+len(places)+i] = access.Receipts{{Channel: Channel, Err: err}}
			}
		})
	}
	return slices.Concat(receipts...)
}

// at tells somebody, or a channel, and returns the ref of the message. There is one message
// of a request for each, which changes; a reminder is an answer to it.
func (t *telling) at(ctx context.Context, target string, m message) (string, error) {
	earlier := t.earlier[target]
	if len(earlier) > 0 {
		last := earlier[len(earlier)-1]
		if t.answers() {
			m.Thread = last.ts
			_, err := t.post(ctx, target, last.conversation, m)
			return last.String(), err
		}
		err := t.change(ctx, target, m)
		if err == nil || !gone(err) {
			return last.String(), err
		}
	}
	r, err := t.post(ctx, target, target, m)
	if err != nil {
		return "", err
	}
	return r.String(), nil
}

// change changes what was sent before.
func (t *telling) change(ctx context.Context, target string, m message) error {
	var failed error
	for _, e := range t.earlier[target] {
		m.Conversation, m.TS = e.conversation, e.ts
		var answer struct{}
		if err := t.call(ctx, "chat.update", m, &answer); err != nil {
			failed = err
		}
	}
	return failed
}

func (s *Slack) post(ctx context.Context, target, conversation string, m message) (ref, error) {
	if err := s.caller.Turn(ctx, s.pace(conversation)); err != nil {
		return ref{}, err
	}
	m.Conversation, m.previews = conversation, &previews{}
	var answer struct{ Channel, TS string }
	if err := s.call(ctx, "chat.postMessage", m, &answer); err != nil {
		return ref{}, err
	}
	return ref{target, answer.Channel, answer.TS}, nil
}

// Slack takes one message a second in each conversation, and short bursts.
const (
	perSecond = 1
	atOnce    = 3
	maxPaces  = 1000
)

// pace is that of a conversation.
func (s *Slack) pace(conversation string) *rate.Limiter {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	l := s.paces[conversation]
	if l == nil {
		if len(s.paces) >= maxPaces {
			clear(s.paces)
		}
		l = rate.NewLimiter(perSecond, atOnce)
		s.paces[conversation] = l
	}
	return l
}

// userAge is for how long somebody's id is remembered, and maxUsers how many are.
const (
	userAge  = 10 * time.Minute
	maxUsers = 5000
)

// userID finds somebody by their address.
func (s *Slack) userID(ctx context.Context, p access.Principal) (string, error) {
	s.mutex.Lock()
	known, ok := s.users[p]
	s.mutex.Unlock()
	if ok && s.c.Now().Sub(known.at) < userAge {
		return known.id, nil
	}
	var answer struct{ User struct{ ID string } }
	if err := s.call(ctx, "users.lookupByEmail", url.Values{"email": {string(p)}}, &answer); err != nil {
		return "", err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.users) >= maxUsers {
		clear(s.users)
	}
	s.users[p] = user{answer.User.ID, s.c.Now()}
	return answer.User.ID, nil
}

// call calls a method of Slack's. A token that is refused is read once more.
func (s *Slack) call(ctx context.Context, method string, arguments, answer any) error {
	token, err := s.token.Get(ctx)
	if err != nil {
		return s.caller.NoSecret(err)
	}
	err = s.callWith(ctx, token, method, arguments, answer)
	if !slices.Contains(badToken, channel.CodeOf(err)) {
		return err
	}
	if another, readErr := s.token.Fresh(ctx); readErr == nil && another != token {
		err = s.callWith(ctx, another, method, arguments, answer)
	}
	return err
}

func (s *Slack) callWith(ctx context.Context, token, method string, arguments, answer any) error {
	got, err := s.caller.Call(ctx, func(ctx context.Context) (*http.Request, error) {
		address := s.c.Endpoint + "/api/" + method
		values, isForm := arguments.(url.Values)
		if !isForm {
			request, err := channel.Post(address, arguments)(ctx)
			if err == nil {
				request.Header.Set("Authorization", "Bearer "+token)
			}
			return request, err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(values.Encode()))
		if err == nil {
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			request.Header.Set("Authorization", "Bearer "+token)
		}
		return request, err
	}, token)
	if err != nil {
		return err
	}
	if !got.JSON(answer) {
		return s.caller.Broken(got, token)
	}
	return nil
}

// together is how many calls of one notice are under way at once.
const together = 4

// each does something for 0 to n-1, some at a time.
func each(n int, do func(int)) {
	var all sync.WaitGroup
	turns := make(chan struct{}, together)
	for i := range n {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			do(i)
		})
	}
	all.Wait()
}

// ref names a message: whom or what it was addressed to, the conversation in which it is,
// and its time, which is its name there.
type ref struct{ target, conversation, ts string }

func (r ref) String() string { return r.target + "/" + r.conversation + "/" + r.ts }

func parseRef(text string) (ref, bool) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return ref{}, false
	}
	return ref{parts[0], parts[1], parts[2]}, true
}
