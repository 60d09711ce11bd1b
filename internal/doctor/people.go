package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"jitaccess/internal/access"
)

// groups is whether groups can be looked up at all.
func (d *doctor) groups(ctx context.Context) {
	customer := d.Settings.Catalog.CustomerID
	if customer == "" {
		d.unseen("groups", "not looked up: RESOURCE_CUSTOMER_ID is not set, which RESOURCE_CATALOG=PolicyAnalyzer does without", "")
		return
	}
	query := url.Values{"customer": {customer}, "maxResults": {"1"}}
	var answer json.RawMessage
	err := d.call(ctx, d.Platform.DirectoryClient, directory, "/admin/directory/v1/groups?"+query.Encode(), nil, &answer)
	if err != nil {
		d.failed("groups", "who is in which group cannot be looked up", err, directory, d.groupsReader())
		return
	}
	d.ok("groups", "the groups of customer %s can be looked up", customer)
	warned := map[string]bool{}
	for _, s := range d.standings {
		for _, w := range s.Warnings {
			if group := w.Args["group"]; w.Code == access.CodeGroupUnreadable && !warned[group] {
				warned[group] = true
				d.warn("groups", "the members of "+group+", which is eligible, cannot be read, so its people are not found as reviewers: "+why(w),
					"use a group of customer "+customer)
			}
		}
	}
}

// directory is the API of groups and their members.
const directory = "admin.googleapis.com"

// groupsReader is how the service account is let read groups.
func (d *doctor) groupsReader() string {
	return "in the Google Admin console, under Account, Admin roles, Groups Reader, assign the role to " + d.Platform.ServiceAccount
}

// maxGroups bounds how many eligible groups are looked at, maxNamed how many people
// are named in a line.
const (
	maxGroups = 100
	maxNamed  = 5
)

// scopeGroupSettings is needed to read the settings of a group.
const scopeGroupSettings = "https://www.googleapis.com/auth/apps.groups.settings"

// eligibleGroups looks who can get into the groups that are eligible: whoever can
// has all that the group may activate.
func (d *doctor) eligibleGroups(ctx context.Context) {
	groups := d.eligibleGroupNames()
	if len(groups) == 0 {
		return
	}
	d.joinable(ctx, groups)
	clean := 0
	for _, group := range groups {
		strangers, err := d.outsiders(ctx, group)
		switch {
		case err != nil: // told under groups
		case len(strangers) == 0:
			clean++
		default:
			d.warn("outsiders", fmt.Sprintf("%s, which is eligible, has %d members of other domains: %s",
				group, len(strangers), strings.Join(strangers[:min(len(strangers), maxNamed)], ", ")),
				"take them out, unless those domains are yours")
		}
	}
	if clean > 0 {
		d.ok("outsiders", "%d eligible groups have no members of other domains", clean)
	}
}

func (d *doctor) eligibleGroupNames() []string {
	var groups []string
	for _, s := range d.standings {
		for _, held := range s.Holdings {
			for _, e := range held {
				for _, w := range e.Ways {
					if group, ok := strings.CutPrefix(w.Member, "group:"); ok {
						groups = append(groups, group)
					}
				}
			}
		}
	}
	slices.Sort(groups)
	groups = slices.Compact(groups)
	return groups[:min(len(groups), maxGroups)]
}

// joinable is optional: the service has no need of the Groups Settings API
// (https://developers.google.com/admin-sdk/groups-settings/v1/reference/groups).
func (d *doctor) joinable(ctx context.Context, groups []string) {
	client := d.Platform.Impersonating(scopeGroupSettings)
	closed := 0
	for _, group := range groups {
		var settings struct{ WhoCanJoin string }
		if err := d.call(ctx, client, "www.googleapis.com", "/groups/v1/groups/"+url.PathEscape(group)+"?alt=json", nil, &settings); err != nil {
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
		d.ok("joining", "%d eligible groups cannot be joined without an invitation", closed)
	}
}

// outsiders are the members of a group whose domain is not the group's own.
func (d *doctor) outsiders(ctx context.Context, group string) (found []string, err error) {
	_, domain, _ := strings.Cut(group, "@")
	members, err := list[struct{ Email string }](ctx, d, d.Platform.DirectoryClient, directory, "/admin/directory/v1/groups/"+
		url.PathEscape(group)+"/members", url.Values{"maxResults": {"200"}, "fields": {"members(email),nextPageToken"}}, "members")
	for _, m := range members {
		if _, of, ok := strings.Cut(m.Email, "@"); ok && !strings.EqualFold(of, domain) {
			found = append(found, m.Email)
		}
	}
	return found, err
}
