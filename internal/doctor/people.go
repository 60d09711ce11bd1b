package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"jitaccess/internal/access"
)

func (d *doctor) groups(ctx context.Context) {
	customer := d.Settings.Catalog.CustomerID
	if customer == "" {
		d.unseen("groups", "not looked up: RESOURCE_CUSTOMER_ID is not set, which RESOURCE_CATALOG=PolicyAnalyzer does without", "")
		return
	}
	query := url.Values{"customer": {customer}, "maxResults": {"1"}}
	_, err := call[json.RawMessage](ctx, d, d.Platform.DirectoryClient, directory, "/admin/directory/v1/groups", query, nil)
	if err != nil {
		d.failed("groups", "who is in which group cannot be looked up", err, directory, d.groupsReader())
		return
	}
	d.ok("groups", "the groups of customer %s can be looked up", customer)
	for _, group := range slices.Sorted(maps.Keys(d.unreadable)) {
		d.warn("groups", "the members of "+group+", which is eligible, cannot be read, so its people are not found as reviewers: "+
			why(d.unreadable[group]), "use a group of customer "+customer)
	}
}

const directory = "admin.googleapis.com"

// groupsReader is how the service account is let read groups.
func (d *doctor) groupsReader() string {
	return "in the Google Admin console, under Account, Admin roles, Groups Reader, assign the role to " + d.Platform.ServiceAccount
}

// maxGroups bounds the eligible groups that are looked at, maxNamed the people in a line.
const (
	maxGroups = 100
	maxNamed  = 5
)

// first are at most so many of some names, in their order.
func first(names map[string]bool, max int) []string {
	return slices.Sorted(maps.Keys(names))[:min(len(names), max)]
}

// joinable looks who can get into an eligible group, and so has all that the group may
// activate. It is optional: the service has no need of the Groups Settings API
// (https://developers.google.com/admin-sdk/groups-settings/v1/reference/groups).
func (d *doctor) joinable(ctx context.Context) {
	client := d.Platform.Impersonating("https://www.googleapis.com/auth/apps.groups.settings")
	closed := 0
	for _, group := range first(d.eligible, maxGroups) {
		settings, err := call[struct{ WhoCanJoin string }](ctx, d, client, "www.googleapis.com",
			"/groups/v1/groups/"+url.PathEscape(group), nil, nil)
		if err != nil {
			d.unseen("joining", "who may join the eligible groups cannot be seen: "+why(err),
				"to see it, enable groupssettings.googleapis.com and give the service account a Workspace role that may read the settings of groups")
			return
		}
		where := map[string]string{"ANYONE_CAN_JOIN": "on the Internet", "ALL_IN_DOMAIN_CAN_JOIN": "in the organization"}[settings.WhoCanJoin]
		if where == "" {
			closed++
			continue
		}
		d.warn("joining", group+", which is eligible, can be joined by anyone "+where, "let only invited people join it")
	}
	if closed > 0 {
		d.ok("joining", "%s cannot be joined without an invitation", access.Counted(closed, "eligible group", "eligible groups"))
	}
}

// outsiders looks for members of eligible groups whose domain is not the group's own.
func (d *doctor) outsiders(ctx context.Context) {
	clean := 0
	for _, group := range first(d.eligible, maxGroups) {
		members, err := list[struct{ Email string }](ctx, d, d.Platform.DirectoryClient, directory, "/admin/directory/v1/groups/"+
			url.PathEscape(group)+"/members", url.Values{"maxResults": {"200"}, "fields": {"members(email),nextPageToken"}})
		if err != nil {
			continue // told under groups
		}
		var strangers []string
		_, domain, _ := strings.Cut(group, "@")
		for _, m := range members {
			if _, of, ok := strings.Cut(m.Email, "@"); ok && !strings.EqualFold(of, domain) {
				strangers = append(strangers, m.Email)
			}
		}
		if len(strangers) == 0 {
			clean++
			continue
		}
		d.warn("outsiders", fmt.Sprintf("%s, which is eligible, has %s: %s",
			group, access.Counted(len(strangers), "member of another domain", "members of other domains"),
			strings.Join(strangers[:min(len(strangers), maxNamed)], ", ")),
			"take them out, unless those domains are yours")
	}
	if clean > 0 {
		d.ok("outsiders", "%s no members of other domains", access.Counted(clean, "eligible group has", "eligible groups have"))
	}
}
