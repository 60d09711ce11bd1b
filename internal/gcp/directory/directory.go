// Package directory answers questions about the groups of Google Workspace and
// Cloud Identity. Only direct memberships count, as in JIT Access 1.x. Whoever asks, the
// same is looked up once for all.
package directory

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/lookup"
)

// service is the name of the API, for people; reader is the Workspace role that
// the service account needs for it.
const (
	service = "Directory API"
	reader  = "Groups Reader (a role of the Google Workspace admin console)"
)

// maxPages bounds how far an answer is followed: 200,000 members. A directory that
// goes on for ever must not hold a request.
const maxPages = 1000

// maxAnswer bounds a page, which has some 40 KB.
const maxAnswer = 4 << 20

// How many answers are kept, and how long one may take: less than an action has, since
// a page without groups is better than none.
const (
	timeout   = 10 * time.Second
	maxPeople = 2000
	maxGroups = 200
	maxBytes  = 4 << 20 // of people's groups
	// memberBytes is of members of groups, and enough for the largest group that is followed.
	memberBytes = 12 << 20
)

// How old an answer may be: for a page, and while the directory cannot answer. Google
// itself takes minutes, and sometimes hours, to apply a change of a group
// (https://cloud.google.com/iam/docs/access-change-propagation).
const (
	pageAge  = 30 * time.Second
	staleAge = 5 * time.Minute
)

// Directory reads groups. Make one with New; it is safe for concurrent use.
type Directory struct {
	api      gcp.API
	customer string
	platform *gcp.Platform
	now      func() time.Time
	groups   *lookup.Cache[[]string]
	members  *lookup.Cache[Members]
}

// New makes a Directory. customer is the Cloud Identity customer id. It makes no
// call.
func New(p *gcp.Platform, customer string, now func() time.Time) *Directory {
	d := &Directory{api: p.API("admin", p.DirectoryClient, maxAnswer), customer: customer, platform: p, now: now}
	d.groups = lookup.New(now, maxPeople, timeout, d.groupsNow).Within(maxBytes, func(groups []string) (n int) {
		for _, g := range groups {
			n += len(g) + 16
		}
		return n
	})
	d.members = lookup.New(now, maxGroups, timeout, d.membersNow).Within(memberBytes, func(m Members) (n int) {
		for _, p := range m.People {
			n += len(p) + 16
		}
		return n
	})
	return d
}

// MemberOf is whether p is a direct member of one of the groups. A page (since is zero)
// asks who is in the groups, which is one question whoever asks, and only of those who
// are not there which groups they are in; once that is known, no group is asked for, so
// that a policy may name many. since and the warning are as for Groups.
func (d *Directory) MemberOf(ctx context.Context, p access.Principal, groups []string, since time.Time) (bool, *access.Error, error) {
	if _, _, known := d.groups.Last(string(p), pageAge); since.IsZero() && !known {
		for _, group := range groups {
			members, stale, err := d.Members(ctx, group, since)
			if err == nil && slices.Contains(members.People, p) {
				return true, stale, nil
			}
		}
	}
	all, stale, err := d.Groups(ctx, p, since)
	return slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(all, g) }), stale, err
}

// Groups returns the addresses of the groups that p is a direct member of, with
// A–Z folded; they are shared, and not to be changed. since is when the action began
// that they are for: nothing that was asked before serves. Zero is a page, for which 30
// seconds are no age.
//
// When the directory cannot answer, the last answer of the last five minutes serves,
// with a warning that says how old it is; for an action only when the reason is that the
// quota is spent. CodeServiceNotAllowed when the service account lacks the admin role;
// a person or customer that the directory does not know is CodePersonUnreadable of kind
// NotFound.
func (d *Directory) Groups(ctx context.Context, p access.Principal, since time.Time) ([]string, *access.Error, error) {
	return recall(ctx, d.groups, string(p), since, d.now)
}

// Members returns the direct members of a group; they are shared, and not to be changed.
// since and the warning are as for Groups. CodeGroupUnreadable of kind NotFound when
// there is no such group, of kind Upstream when the service account may not read it.
func (d *Directory) Members(ctx context.Context, group string, since time.Time) (Members, *access.Error, error) {
	return recall(ctx, d.members, access.FoldASCII(group), since, d.now)
}

// PeopleIn are the people among the Members of a group.
func (d *Directory) PeopleIn(ctx context.Context, group string, since time.Time) ([]access.Principal, *access.Error, error) {
	members, stale, err := d.Members(ctx, group, since)
	return members.People, stale, err
}

// recall looks something up, or remembers it; see Groups.
func recall[V any](ctx context.Context, c *lookup.Cache[V], key string, since time.Time, now func() time.Time) (V, *access.Error, error) {
	after := since
	if since.IsZero() {
		after = now().Add(-pageAge)
	}
	found, err := c.Get(ctx, key, after)
	if err == nil {
		return found, nil, nil
	}
	failure := gcp.Failure(err, gcp.Call{Service: service})
	if last, at, ok := c.Last(key, staleAge); ok && ctx.Err() == nil && mayRest(ctx, failure) {
		return last, &access.Error{Kind: failure.Kind, Code: access.CodeStaleGroups, Err: failure,
			Args: access.Args{"seconds": strconv.Itoa(int(now().Sub(at) / time.Second))}}, nil
	}
	return found, nil, failure
}

// mayRest is whether what is done may rest on a remembered answer when there is no other
// for this reason (docs/decisions/7-when-a-quota-is-spent.md).
func mayRest(ctx context.Context, failure *access.Error) bool {
	switch purpose, _ := access.PurposeOf(ctx); failure.Code {
	case access.CodeQuota:
		return purpose == access.ForPage || !gcp.ByOwnDoing(failure)
	case access.CodeUpstreamFailed, access.CodeUpstreamTimeout:
		return purpose == access.ForPage
	}
	return false
}

// groupsNow asks for the groups of a person.
func (d *Directory) groupsNow(ctx context.Context, person string) ([]string, error) {
	p := access.Principal(person)
	if d.customer == "" {
		return nil, &access.Error{Kind: access.Unavailable, Code: access.CodeDirectoryNotSet}
	}
	var groups []string
	type answer struct {
		Groups []struct {
			Email string `json:"email"`
		} `json:"groups"`
		NextPageToken string `json:"nextPageToken"`
	}
	err := pages(ctx, d.api, "/admin/directory/v1/groups", d.groupsOf(p), "groups(email),nextPageToken", func(answer answer) string {
		for _, g := range answer.Groups {
			if address, err := access.ParsePrincipal(g.Email); err == nil {
				groups = append(groups, string(address))
			}
		}
		return answer.NextPageToken
	})
	if err != nil {
		failure := d.failure(err, "customer "+d.customer, "")
		if failure.Code == access.CodeGroupUnreadable {
			failure.Code, failure.Args = access.CodePersonUnreadable, access.Args{"principal": string(p)}
		}
		return nil, failure
	}
	return groups, nil
}

// Members are the direct members of a group.
type Members struct {
	// People are those who may sign in.
	People []access.Principal
	// Groups is how many groups are among the members, and Everybody whether all people
	// of the customer are: they do not count as members.
	Groups    int
	Everybody bool
}

// membersNow asks for the members of a group.
func (d *Directory) membersNow(ctx context.Context, group string) (Members, error) {
	// The address of a group has the form of a person's, and stands in a URL path.
	address, err := access.ParsePrincipal(group)
	if err != nil {
		return Members{}, &access.Error{Kind: access.NotFound, Code: access.CodeGroupUnreadable, Args: access.Args{"group": group}, Err: err}
	}
	var members Members
	type answer struct {
		Members       []member `json:"members"`
		NextPageToken string   `json:"nextPageToken"`
	}
	// As it is escaped in a query, in which no address has a space.
	err = pages(ctx, d.api, "/admin/directory/v1/groups/"+url.QueryEscape(string(address))+"/members", url.Values{},
		"members(email,type,status),nextPageToken", func(answer answer) string {
			for _, m := range answer.Members {
				members.add(m)
			}
			return answer.NextPageToken
		})
	if err != nil {
		failure := d.failure(err, group, group)
		if failure.Code == access.CodeServiceNotAllowed {
			failure.Code, failure.Args = access.CodeGroupUnreadable, access.Args{"group": group}
		}
		return Members{}, failure
	}
	return members, nil
}

// pages gets the fields of page after page of a list and has each taken, which returns the
// token of the next. Google's pages have at most 200 entries.
func pages[A any](ctx context.Context, api gcp.API, path string, query url.Values, fields string, take func(A) string) error {
	query.Set("fields", fields)
	query.Set("maxResults", "200")
	for range maxPages {
		answer, err := gcp.Ask[A](ctx, api, path, query, nil)
		if err != nil {
			return err
		}
		next := take(answer)
		switch next {
		case "":
			return nil
		case query.Get("pageToken"):
			return gcp.Nonsense(service, "the same page came twice")
		}
		query.Set("pageToken", next)
	}
	return gcp.Nonsense(service, "the answer has more pages than any group")
}

// member is one of a group.
type member struct {
	Email  string `json:"email"`
	Type   string `json:"type"`
	Status string `json:"status"`
}

// add counts a member. People of other organizations have no status; whoever has one and
// is suspended or archived cannot sign in
// (https://developers.google.com/workspace/admin/directory/reference/rest/v1/members).
func (m *Members) add(member member) {
	switch member.Type {
	case "GROUP":
		m.Groups++
	case "CUSTOMER":
		m.Everybody = true
	case "USER":
		if member.Status == "SUSPENDED" || member.Status == "ARCHIVED" {
			return
		}
		if p, err := access.ParsePrincipal(member.Email); err == nil {
			m.People = append(m.People, p)
		}
	}
}

// failure maps a failed call. The directory says 400 as well as 404 of an address
// that it does not know.
func (d *Directory) failure(err error, resource, address string) *access.Error {
	failure := gcp.Failure(err, gcp.Call{Service: service, Permission: reader, Resource: resource, Account: d.platform.ServiceAccount})
	if failure.Code == access.CodeUnknownResource || failure.Code == access.CodeCallRefused {
		failure.Kind, failure.Code, failure.Args = access.NotFound, access.CodeGroupUnreadable, access.Args{"group": address}
	}
	return failure
}

// groupsOf asks for the groups of a person. The search by member also finds people
// of other organizations. In its query an apostrophe has a meaning, and whether one
// can be escaped outside quotes is not documented
// (https://developers.google.com/workspace/admin/directory/v1/guides/search-groups);
// the parameter userKey takes the address as it is, and no customer beside it.
func (d *Directory) groupsOf(p access.Principal) url.Values {
	if strings.Contains(string(p), "'") {
		return url.Values{"userKey": {string(p)}}
	}
	return url.Values{"customer": {d.customer}, "query": {"memberKey=" + string(p)}}
}
