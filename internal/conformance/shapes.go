package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/jose"
	"jitaccess/internal/lazyregexp"
)

// assertionChecks look at one assertion of Identity-Aware Proxy. Its age does not matter.
var assertionChecks = []check{
	{"iap.signature", "an assertion is signed with ES256 by a key that is published", signedHeaders,
		ofAssertion(func(jose.Claims) (string, error) { return "verified", nil })},
	{"iap.issuer", "its issuer is https://cloud.google.com/iap", signedHeaders, ofAssertion(func(c jose.Claims) (string, error) {
		issuer, err := c.String("iss")
		if err == nil && issuer != "https://cloud.google.com/iap" {
			err = fmt.Errorf("it is %q", issuer)
		}
		return issuer, err
	})},
	{"iap.audience", "it has one audience: an application, a backend service or a Cloud Run service", signedHeaders, ofAssertion(audience)},
	{"iap.life", "it is valid for at most 10 minutes", signedHeaders, ofAssertion(func(c jose.Claims) (string, error) {
		from, err := c.Int64("iat")
		to, err2 := c.Int64("exp")
		if err = errors.Join(err, err2); err != nil {
			return "", err
		}
		life := time.Duration(to-from) * time.Second
		if life <= 0 || life > 10*time.Minute {
			return "", fmt.Errorf("it is valid for %s", life)
		}
		return life.String(), nil
	})},
	{"iap.person", "it names a person by address and by a stable id that begins with accounts.google.com:", signedHeaders,
		ofAssertion(func(c jose.Claims) (string, error) {
			email, err := c.String("email")
			subject, err2 := c.String("sub")
			if err = errors.Join(err, err2); err != nil {
				return "", err
			}
			if !strings.Contains(email, "@") || !strings.HasPrefix(subject, "accounts.google.com:") {
				return "", fmt.Errorf("the id does not begin with accounts.google.com:, or the address is none")
			}
			return "an address, and an id of that form", nil
		})},
}

var audiencePattern = lazyregexp.New(
	`^/projects/[0-9]+/(?:apps/[a-z0-9.:-]+|global/backendServices/[0-9]+|locations/[a-z0-9-]+/services/[a-z0-9-]+)$`)

func audience(c jose.Claims) (string, error) {
	text, err := c.String("aud")
	if err != nil {
		return "", err
	}
	parts := audiencePattern().FindString(text)
	if parts == "" {
		return "", errors.New("it has another form")
	}
	kind := strings.Split(parts, "/")[3]
	return "of the form /projects/…/" + kind + "/…", nil
}

// ofAssertion judges the assertion by its claims; that it is verified is a matter of the first.
func ofAssertion(judge func(jose.Claims) (string, error)) func(*run, context.Context) outcome {
	return func(r *run, ctx context.Context) outcome {
		if r.c.Assertion == "" {
			return untried("no assertion was given (--assertion-file)")
		}
		form := jose.Form{Algorithms: []jose.Algorithm{jose.ES256}}
		token, err := form.Verify(ctx, r.c.Assertion, jose.NewKeySet(r.c.Keys, r.c.Now))
		if errors.Is(err, jose.ErrKeysUnavailable) {
			return untried("the keys cannot be had")
		}
		if errors.Is(err, jose.ErrUnknownKey) {
			return untried("its key is not published, or not any more: give a younger one")
		}
		if err != nil {
			return differs("it cannot be verified: %v", err)
		}
		observed, err := judge(token.Claims)
		if err != nil {
			return differs("%v", err)
		}
		return passes("%s", observed)
	}
}

// groupChecks look at one group.
var groupChecks = []check{
	{"group.members", "members have an address and a type, and those of the group's own domain a status", groupMembers, (*run).groupMembers},
	{"group.of-member", "the groups that somebody is directly in are found by their address", groupSearch, (*run).groupOfMember},
	{"group.unknown", "a group that is not there is said to be none (404)", groupMembers, (*run).groupUnknown},
}

// member is one of a group.
type member struct{ Email, Type, Status string }

func (r *run) directory(ctx context.Context, check, path string, query url.Values) answer {
	return r.call(ctx, r.c.Directory, check, r.c.Endpoint("admin")+"/admin/directory/v1/groups"+path+"?"+query.Encode(), nil)
}

// members reads the first page.
func (r *run) members(ctx context.Context, check, group string) ([]member, answer) {
	a := r.directory(ctx, check, "/"+url.PathEscape(group)+"/members", url.Values{"maxResults": {"200"}})
	var page struct{ Members []member }
	if a.ok() {
		if err := json.Unmarshal(a.body, &page); err != nil {
			return nil, answer{err: err}
		}
	}
	return page.Members, a
}

const noGroup = "no group was given (--group)"

func (r *run) groupMembers(ctx context.Context) outcome {
	if r.c.Group == "" {
		return untried(noGroup)
	}
	members, a := r.members(ctx, "group.members", r.c.Group)
	if !a.ok() {
		return silence(a)
	}
	if len(members) == 0 {
		return untried("the group has no members")
	}
	counts := map[string]int{}
	for _, m := range members {
		counts[m.Type]++
		known := slices.Contains([]string{"USER", "GROUP", "CUSTOMER"}, m.Type)
		switch {
		case !known:
			return differs("a member is of the type %q", m.Type)
		case m.Type != "CUSTOMER" && !strings.Contains(m.Email, "@"):
			return differs("a member of the type %s has no address", m.Type)
		case m.Type == "USER" && m.Status == "" && strings.EqualFold(domain(m.Email), domain(r.c.Group)):
			return differs("somebody of the group's own domain has no status")
		}
	}
	return passes("%s, %s", access.Counted(counts["USER"], "person", "people"), access.Counted(counts["GROUP"], "group", "groups"))
}

func domain(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

func (r *run) groupOfMember(ctx context.Context) outcome {
	const id = "group.of-member"
	if r.c.Group == "" {
		return untried(noGroup)
	}
	members, a := r.members(ctx, id, r.c.Group)
	if !a.ok() {
		return silence(a)
	}
	at := slices.IndexFunc(members, func(m member) bool { return m.Type == "USER" && !strings.Contains(m.Email, "'") })
	if at < 0 {
		return untried("the group has nobody as a direct member")
	}
	query := url.Values{"customer": {r.c.Customer}, "query": {"memberKey=" + members[at].Email}, "maxResults": {"200"}}
	for range 50 {
		var page struct {
			Groups        []struct{ Email string }
			NextPageToken string
		}
		a := r.directory(ctx, id, "", query)
		switch {
		case a.saysNothing():
			return silence(a)
		case !a.ok():
			return differs("%s", a.said())
		case json.Unmarshal(a.body, &page) != nil:
			return differs("the answer is not a list of groups")
		case slices.ContainsFunc(page.Groups, func(g struct{ Email string }) bool { return strings.EqualFold(g.Email, r.c.Group) }):
			return passes("found")
		case page.NextPageToken == "":
			return differs("the group is not among those of one of its members")
		}
		query.Set("pageToken", page.NextPageToken)
	}
	return untried("one of its members is in too many groups")
}

func (r *run) groupUnknown(ctx context.Context) outcome {
	if r.c.Group == "" {
		return untried(noGroup)
	}
	_, a := r.members(ctx, "group.unknown", "jitaccess-none@"+domain(r.c.Group))
	return refusedWith(a, http.StatusNotFound)
}
