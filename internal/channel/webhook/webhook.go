// Package webhook tells programs of everything that happens to requests, at the addresses that an
// operator names, as Standard Webhooks has it
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
// What is sent is a hint: who gets it asks for what is true.
package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/channel"
	"jitaccess/internal/loopback"
	"jitaccess/internal/notice"
	"jitaccess/internal/redact"
	"jitaccess/internal/standardwebhook"
)

// Channel is the name of this channel in an access.Receipt and in notify: of a rule.
const Channel = "webhook"

// patience bounds one attempt: receivers are promised as much.
const patience = 10 * time.Second

// New makes what tells the programs that are kept, as Kept has them, without making a call. local:
// the service is reached on loopback alone, and programs may be there too. Ref in its receipts
// is the id by which it was sent.
func New(c channel.Config, local bool) *channel.Webhook {
	return channel.NewWebhook(c, channel.Vendor{
		Channel: access.Channel{Name: Channel, Everything: true}, Service: "Webhooks",
		Targets: func(kept string) ([]channel.Target, error) { return targets(kept, local) },
		Compose: compose, Refusal: refusal, Table: explanations,
		Ref: func(_ channel.Answer, id string) (string, bool) { return id, true },
		Taken: func(t channel.Target, a channel.Answer) notice.Step {
			text := fmt.Sprintf("%s answered %d", t.Name, a.Status)
			if said := access.Visible(access.Clip(redact.Answer(strings.TrimSpace(string(a.Body)), t.Secrets...), 200)); said != "" {
				text += " and said " + strconv.Quote(said) + ", which nobody here reads"
			}
			return notice.Step{Name: "message", Text: text}
		},
		Patience: patience, Final: gone,
	})
}

// gone is the code of who wants to hear nothing more.
const gone = "410"

// refusal is the status of what is not taken. As Standard Webhooks has it, the status alone counts.
func refusal(a channel.Answer) string {
	if a.Status/100 == 2 {
		return ""
	}
	return strconv.Itoa(a.Status)
}

var explanations = []channel.Explanation{
	{Codes: []string{channel.Secret}, Meaning: "WEBHOOK_URL or WEBHOOK_SECRET cannot be read, or is not what it should be.",
		Remedy: "The log has the cause. See that the settings name the right versions in Secret Manager, that the service account " +
			"may read them, and that there are as many groups of keys as addresses."},
	{Codes: []string{gone}, Meaning: "{service} says that nobody wants to hear anything there any more. It gets nothing more " +
		"until it takes a test message, or this service starts again.",
		Remedy: "Take its address and its key out of WEBHOOK_URL and WEBHOOK_SECRET or, if it is a mistake, mend the program and " +
			"send it a test message from the page Notifications of each instance, or start them again."},
	{Codes: []string{"401", "403"}, Meaning: "{service} does not take the signature, or lets nobody in without a log-in.",
		Remedy: "See that the program verifies by the key that stands for it in WEBHOOK_SECRET, over the body as it came, that its " +
			"clock is right, and that nothing before it asks for a log-in."},
	{Codes: []string{"404", "405"}, Meaning: "{service} takes no webhooks at this path.",
		Remedy: "See to the path in WEBHOOK_URL, and that the program takes POST there."},
	{Codes: []string{"400", "413", "415", "422"}, Meaning: "{service} does not take a message of this form.",
		Remedy: "The program must take what docs/openapi.yaml describes, and ignore members and types that it does not know."},
	{Codes: []string{channel.NotPublic}, Meaning: "{service} leads to an address that is not public, where nothing is sent.",
		Remedy: "If the program is in a private network of yours, set WEBHOOK_ALLOW_PRIVATE=true; nothing is sent to this machine " +
			"or to metadata servers. Otherwise see to the name server."},
	{Codes: []string{channel.Certificate}, Meaning: "The certificate of {service} is not one that is trusted for its name.",
		Remedy: "Give the program one of a public authority for its name, or let SSL_CERT_FILE name the authorities that this " +
			"service trusts."},
}

// Kept is what New's Config.Read returns: addresses with commas between them, and their keys, a comma
// between those of two addresses, spaces between those of one, the newest first.
func Kept(addresses, keys string) string { return addresses + "\n" + keys }

// targets reads who listens. An address is https; on loopback, where local, http too. A key is
// whsec_ and base64 of 24 to 64 bytes, as Standard Webhooks has it. No error repeats any of it.
func targets(kept string, local bool) ([]channel.Target, error) {
	addresses, keys, _ := strings.Cut(kept, "\n")
	urls, groups := strings.Split(addresses, ","), strings.Split(keys, ",")
	if len(groups) != len(urls) {
		return nil, fmt.Errorf("%s, and keys for %d: there are commas between addresses, and between their groups of keys",
			access.Counted(len(urls), "address", "addresses"), len(groups))
	}
	all := make([]channel.Target, len(urls))
	for i, text := range urls {
		u, err := parseURL(strings.TrimSpace(text), local)
		if err != nil {
			return nil, fmt.Errorf("address %d %w", i+1, err)
		}
		texts := strings.Fields(groups[i])
		var keys [][]byte
		for _, each := range texts {
			encoded, ok := strings.CutPrefix(each, "whsec_")
			key, err := base64.StdEncoding.DecodeString(encoded)
			if !ok || err != nil || len(key) < 24 || len(key) > 64 {
				return nil, fmt.Errorf("key %d of address %d is not whsec_ and base64 of 24 to 64 bytes", len(keys)+1, i+1)
			}
			keys = append(keys, key)
		}
		if len(keys) == 0 {
			return nil, fmt.Errorf("address %d has no key", i+1)
		}
		all[i] = channel.Target{URL: u, Name: u.Host, Secrets: append(secrets(u), texts...),
			Complete: func(r *http.Request, id string, at time.Time, body []byte) {
				standardwebhook.Sign(r.Header, keys, id, at, body)
			}}
	}
	return all, nil
}

// secrets are what of an address may be one: the path, and values of the query.
func secrets(u *url.URL) []string {
	all := []string{u.String(), u.RawQuery}
	for _, values := range u.Query() {
		all = append(all, values...)
	}
	if u.Path != "/" {
		all = append(all, u.Path)
	}
	return all
}

func parseURL(text string, local bool) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case strings.ContainsAny(text, " \t"):
		return nil, errors.New("has a space in it; several addresses have commas between them")
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, errors.New("is no URL")
	case u.User != nil || u.Fragment != "":
		return nil, errors.New("has a user or a fragment")
	case u.Scheme == "https" || u.Scheme == "http" && local && loopback.Is(u.Hostname()):
		return u, nil
	}
	return nil, errors.New("is not https; http is for this machine alone, where PUBLIC_URL is on it too")
}
