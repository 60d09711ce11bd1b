// Package pubsub tells machines: it publishes what happened to a topic, as the three
// messages of JIT Access 1.x and others in their manner. Its listeners are chat bots,
// ticket systems and the like; they get the link of a request, which is a pointer and lets
// nobody in.
package pubsub

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/lazyregexp"
)

// Channel is the name of this channel in an access.Receipt.
const Channel = "pubsub"

// service is the name of the API, for people.
const service = "Pub/Sub"

// maxAnswer bounds an answer, which is an id.
const maxAnswer = 64 << 10

// A topic's name ends up in a URL path. These are Google's forms ("Naming a
// resource", cloud.google.com/pubsub/docs/pubsub-basics) without the percent sign,
// which a server on the way could take for an escape.
var topicPattern = lazyregexp.New(`^projects/([a-z0-9.-]+:)?[a-z0-9-]{1,63}/topics/[A-Za-z][A-Za-z0-9._~+-]{2,254}$`)

// Publisher implements broker.Notifier. Make one with New; it may be used concurrently.
type Publisher struct {
	api      gcp.API
	topic    string
	platform *gcp.Platform
}

// New makes a Publisher, without making a call. topic is a full name,
// projects/P/topics/T, or the last part of that of a topic of the service's own
// project; empty turns the channel off.
func New(p *gcp.Platform, topic string) (*Publisher, error) {
	if topic == "" {
		return &Publisher{}, nil
	}
	if !strings.Contains(topic, "/") {
		topic = "projects/" + p.Project + "/topics/" + topic
	}
	if !topicPattern().MatchString(topic) {
		return nil, &access.Error{Kind: access.Invalid, Code: access.CodeBadInput,
			Args: access.Args{"reason": "a topic is named projects/PROJECT/topics/TOPIC"}}
	}
	return &Publisher{api: p.API("pubsub", p.Client, maxAnswer), topic: topic, platform: p}, nil
}

// Channels is the topic, if there is one.
func (p *Publisher) Channels() []access.Channel {
	if p.topic == "" {
		return nil
	}
	return []access.Channel{{Name: Channel}}
}

// Notify publishes one message, and none for a denial, which JIT Access 1.x does
// not know. It is for nobody in particular, so To is empty in the receipt; Ref is
// Pub/Sub's id of the message.
func (p *Publisher) Notify(ctx context.Context, n access.Notice) access.Receipts {
	m, known := compose(n)
	if p.topic == "" || !known {
		return nil
	}
	id, err := p.publish(ctx, m)
	return access.Receipts{{Channel: Channel, Ref: id, Err: err}}
}

func (p *Publisher) publish(ctx context.Context, m message) (id string, err error) {
	data, err := json.Marshal(m)
	if err != nil {
		return "", &access.Error{Kind: access.Internal, Code: access.CodeInternal, Err: err}
	}
	// https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish
	type published struct {
		Data []byte `json:"data"` // which package json writes in Base64
	}
	type request struct {
		Messages []published `json:"messages"`
	}
	// Trying once more may publish twice. Listeners must be ready for that anyway:
	// Pub/Sub delivers at least once.
	answer, err := gcp.Ask[struct {
		MessageIDs []string `json:"messageIds"`
	}](ctx, p.api, "/v1/"+p.topic+":publish", nil, request{[]published{{data}}})
	if err != nil {
		return "", gcp.Failure(err, gcp.Call{Service: service, Permission: "pubsub.topics.publish",
			Resource: p.topic, Account: p.platform.ServiceAccount})
	}
	if len(answer.MessageIDs) != 1 {
		return "", gcp.Nonsense(service, "the answer of publish holds no message id")
	}
	return answer.MessageIDs[0], nil
}

// message is the data of what is published, without attributes or an ordering key.
type message struct {
	Type string `json:"type"`
	// Attributes are texts, and lists of texts.
	Attributes map[string]any `json:"attributes"`
}

// types are the names of the messages. What is not here is not published.
var types = map[access.NoticeKind]string{
	access.NoticeReview:       "RequestActivation",
	access.NoticeApproved:     "ActivationApproved",
	access.NoticeSelfApproved: "ActivationSelfApproved",
	access.NoticeGlass:        "ActivationGlassBroken", // new since 1.x
	access.NoticeReminder:     "RequestReminder",
	access.NoticeEscalated:    "RequestEscalated",
	access.NoticeEnding:       "ActivationEnding",
}

// compose says a notice as JIT Access 1.x did, and in its manner what it had no message
// for; false if nothing is published of it.
func compose(n access.Notice) (message, bool) {
	name, known := types[n.Kind]
	if !known {
		return message{}, false
	}
	r := n.Request
	attributes := map[string]any{
		"beneficiary":   string(r.Principal),
		"project_id":    r.Resource.Name(),
		"role":          join(r.Entitlements, func(id access.EntitlementID) string { return string(id.Role) }),
		"justification": r.Justification,
	}
	if !n.Window.IsZero() {
		attributes["start_time"], attributes["end_time"] = instant(n.Window.Start), instant(n.Window.End)
	}
	if n.Kind != access.NoticeSelfApproved {
		attributes["resource_condition"] = join(r.Entitlements, func(id access.EntitlementID) string { return id.Condition })
		attributes["reviewers"] = texts(r.Reviewers)
		attributes["base_url"] = n.BaseURL
	}
	switch n.Kind {
	case access.NoticeGlass, access.NoticeEnding:
		attributes["action_url"] = n.ReviewURL
	case access.NoticeEscalated:
		attributes["request_expiry_time"], attributes["escalated_to"] = instant(r.Expires), texts(n.To)
	case access.NoticeReminder, access.NoticeReview:
		attributes["request_expiry_time"] = instant(r.Expires)
		attributes["action_url"] = n.ReviewURL
	case access.NoticeApproved:
		attributes["approver"] = string(n.Decision.By)
	}
	return message{name, attributes}, true
}

func texts(people []access.Principal) []string {
	all := []string{}
	for _, p := range people {
		all = append(all, string(p.Address()))
	}
	return all
}

// join prints what there is of each entitlement. JIT Access 1.x requested one at a
// time; it joined several in the message of a self-approval this way.
func join(ids []access.EntitlementID, part func(access.EntitlementID) string) string {
	var parts []string
	for _, id := range ids {
		if text := part(id); text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, ", ")
}

// instant prints a time as Java's Instant does.
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
