package resourcemanager

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

// written says what is known of a write after its call has returned.
type written int

const (
	// stands: Google confirmed it.
	stands written = iota
	// not: it was not made and will not be.
	not
	// unsure: nobody said. Google may have made it, or may still be making it.
	unsure
	// unsureAnswered: Google said that it failed on its side, which does not say
	// how far it came; it is not working on it any more.
	unsureAnswered
)

// setIamPolicy makes one attempt to write a policy over the one that it was made
// from. reason goes into Google's audit log.
func (c *Client) setIamPolicy(ctx context.Context, r access.Resource, p *iampolicy.Policy, reason string) (written, error) {
	body, err := p.Body()
	if err != nil {
		return not, err
	}
	limit := writeTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)-writeReserve)
	}
	if limit <= 0 {
		return not, context.DeadlineExceeded
	}
	c.policies.forget(r)
	defer c.policies.forget(r)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := c.on(ctx, http.MethodPost, r, ":setIamPolicy", body, http.Header{"X-Goog-Request-Reason": {reason}})
	if err != nil {
		return outcomeOf(err), err
	}
	// The answer is the policy as written. Anything else did not come from there.
	var written struct{ Etag string }
	if json.Unmarshal(answer, &written) != nil || written.Etag == "" {
		return unsure, errors.New("the answer to a write of a policy is not a policy")
	}
	return stands, nil
}

// outcomeOf says what an error tells of a write.
func outcomeOf(err error) written {
	status := statusOf(err)
	network, broken := errors.AsType[*net.OpError](err)
	switch {
	case status == 0 && broken && network.Op == "dial":
		return not // it cannot have reached Google
	case status == http.StatusBadGateway || status == http.StatusGatewayTimeout || status == http.StatusRequestTimeout:
		return unsure // said by something in between
	case status >= 500:
		return unsureAnswered
	case status >= 400:
		return not
	}
	return unsure
}

// doubt is about a write of which nobody knows yet whether it was made. The zero
// value is none.
type doubt struct {
	// etag is of the policy that the write would replace. As long as that one
	// stands, the write may still come.
	etag string
	// answered: Google is not working on it any more.
	answered bool
}

// settled is whether the policy as read after the write tells that it either
// stands in it or will not come any more.
func (d doubt) settled(read *iampolicy.Policy) bool { return d.answered || read.Etag() != d.etag }

// explain is the error of giving up while in doubt: nobody could find out.
func (d doubt) explain(r access.Resource, err error) error {
	if d != (doubt{}) {
		err = unknown(r, err)
	}
	return err
}

func unknown(r access.Resource, err error) error {
	return &access.Error{Kind: access.TimedOut, Code: access.CodeUnknownOutcome,
		Args: access.Args{"resource": string(r)}, Err: err}
}

// requestReason joins the descriptions of edits into one header of Google's:
// printable ASCII and at most maxReason characters. Each gets an equal share.
func requestReason(edits []*edit) string {
	const between = "; "
	share := (maxReason - len(between)*(len(edits)-1)) / len(edits)
	var texts []string
	for _, e := range edits {
		text := e.describe(min(share, iampolicy.MaxDescription))
		texts = append(texts, text[:min(len(text), share)])
	}
	return strings.Join(texts, between)
}

// maxReason is ours: Google documents no limit.
const maxReason = 1024
