// Package chat stands in for Slack, Google Chat and Microsoft Teams, and for a program that listens
// to webhooks, as far as their documentation says what they take: shape, limits, order and rate of messages. It knows
// nothing of the product, so that it can judge it, and keeps all messages, to be looked at.
package chat

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxMessages is how many messages are kept; the oldest go first.
const maxMessages = 500

// Options are what Chats are made of. All but Now may be empty.
type Options struct {
	Now func() time.Time
	// People are addresses of those who are in the Slack workspace, and Channels its channels
	// by name, without #.
	People, Channels []string
	// SlackToken, SpaceKey and WorkflowSignature are the secrets.
	SlackToken, SpaceKey, WorkflowSignature string
	// WebhookKey signs what the program gets that listens.
	WebhookKey []byte
}

// Chats are all of them. Make them with New; they may be used concurrently.
type Chats struct {
	o Options

	mu       sync.Mutex
	last     int
	messages []*Message // oldest first
	runs     []Run
	lately   map[string][]time.Time // of writes, by where
	requests map[string]*Message    // of Google Chat, by requestId
	faults   map[string][]Fault
}

// Message is one message as people see it.
type Message struct {
	// Service is Slack, Google Chat, Microsoft Teams or Webhook.
	Service string
	// Place is the channel or space, or whom a direct message is for.
	Place string
	// Name is what the service calls it, and Thread that of the message it answers, or of its
	// thread.
	Name, Thread string
	At           time.Time
	// Changed is when it was last changed; zero is never.
	Changed time.Time
	// Notification is what a phone shows of it.
	Notification string
	Title        string
	Lines        []string
	Links        []Link
	// Raw is what was sent.
	Raw json.RawMessage
	// Deleted: somebody deleted it.
	Deleted bool
}

// Link is one that can be followed.
type Link struct{ Text, URL string }

// Run is one of the workflow of Teams. Fault is empty where it posted a message.
type Run struct {
	At    time.Time
	Fault string
}

// Fault is an answer in place of the real one.
type Fault struct {
	Status int
	Header map[string]string
	Body   string
}

// New makes Chats.
func New(o Options) *Chats {
	return &Chats{o: o, lately: map[string][]time.Time{}, requests: map[string]*Message{}, faults: map[string][]Fault{}}
}

// Handler answers for all: Slack's methods are under /api/, Chat's under /v1/, the workflow's address
// is under /workflows/ and the program listens at /program.
func (c *Chats) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/{method}", c.slack)
	mux.HandleFunc("/v1/spaces/{space}/messages", c.googleChat)
	mux.HandleFunc("/workflows/{id}/triggers/manual/paths/invoke", c.workflow)
	mux.HandleFunc("/program", c.program)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f, ok := c.fault(r.URL.Path); ok {
			for name, value := range f.Header {
				w.Header().Set(name, value)
			}
			w.WriteHeader(f.Status)
			w.Write([]byte(f.Body))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// Fail has the next calls of a path answered so, each once.
func (c *Chats) Fail(path string, faults ...Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults[path] = append(c.faults[path], faults...)
}

func (c *Chats) fault(path string) (Fault, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.faults[path]
	if len(all) == 0 {
		return Fault{}, false
	}
	c.faults[path] = all[1:]
	return all[0], true
}

// Messages are those that are not deleted, the newest first.
func (c *Chats) Messages() []Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Message
	for _, m := range slices.Backward(c.messages) {
		if !m.Deleted {
			all = append(all, *m)
		}
	}
	return all
}

// Runs are those of the workflow, the newest first.
func (c *Chats) Runs() []Run {
	c.mu.Lock()
	defer c.mu.Unlock()
	runs := slices.Clone(c.runs)
	slices.Reverse(runs)
	return runs
}

// Delete deletes a message of a service, as somebody in it could.
func (c *Chats) Delete(service, name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.find(service, name)
	if m == nil {
		return false
	}
	m.Deleted = true
	return true
}

// SetSlackToken has Slack accept another token alone.
func (c *Chats) SetSlackToken(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.o.SlackToken = token
}

// SetWorkflowSignature has the workflow accept another signature alone.
func (c *Chats) SetWorkflowSignature(signature string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.o.WorkflowSignature = signature
}

func (c *Chats) find(service, name string) *Message {
	for _, m := range c.messages {
		if m.Service == service && m.Name == name && !m.Deleted {
			return m
		}
	}
	return nil
}

func (c *Chats) add(m *Message) {
	m.At = c.o.Now()
	c.messages = append(c.messages, m)
	if over := len(c.messages) - maxMessages; over > 0 {
		c.messages = slices.Delete(c.messages, 0, over)
	}
}

// allow is whether there were fewer than most writes somewhere within a time, this one
// included; if not, it returns after how long there are.
func (c *Chats) allow(where string, most int, within time.Duration) (wait time.Duration, ok bool) {
	now := c.o.Now()
	recent := slices.DeleteFunc(c.lately[where], func(at time.Time) bool { return now.Sub(at) >= within })
	c.lately[where] = recent
	if len(recent) >= most {
		return within - now.Sub(recent[0]), false
	}
	c.lately[where] = append(recent, now)
	return 0, true
}

// isJSON is whether a request says that its body is JSON.
func isJSON(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.TrimSpace(kind) == "application/json"
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}
