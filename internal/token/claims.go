package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/jose"
)

// purpose tells an activation token from everything else that the service account
// signs. It has to be a claim, since the signing service sets the header (threat
// 10).
const purpose = "activation"

const (
	// maxSignedLife is the longest that the signing service lets a token say.
	// https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signJwt
	maxSignedLife = 12 * time.Hour
	// maxDuration bounds arithmetic; what may be granted is the broker's to say.
	maxDuration = 366 * 24 * time.Hour
	// maxEpoch is the end of the year 9999.
	maxEpoch = 253402300799
)

// payload is an activation token as it is written: the claims of JIT Access 1.8,
// which reads the link if an upgrade is rolled back, and our own. With several
// entitlements 1.8 misses the claim that it knows, and refuses. A request that 1.x
// made stays one: its window is fixed, and only the shape of 1.8 says so.
type payload struct {
	Issuer        string   `json:"iss"`
	Audience      string   `json:"aud"`
	IssuedAt      int64    `json:"iat"`
	Expires       int64    `json:"exp"`
	ID            string   `json:"jti"`
	Beneficiary   string   `json:"beneficiary"`
	Reviewers     []string `json:"reviewers"`
	Entitlement   string   `json:"entitlement,omitempty"`
	Entitlements  []string `json:"entitlements,omitempty"`
	Justification string   `json:"justification"`
	Start         int64    `json:"start"`
	End           int64    `json:"end"`
	Purpose       string   `json:"purpose,omitempty"`
	Duration      int64    `json:"duration,omitempty"`
}

// The exact sets of claims.
var (
	commonClaims = []string{"iss", "aud", "iat", "exp", "jti",
		"beneficiary", "reviewers", "justification", "start", "end"}
	claimsOfOne  = append(slices.Clip(commonClaims), "purpose", "duration", "entitlement")
	claimsOfMany = append(slices.Clip(commonClaims), "purpose", "duration", "entitlements")
	claimsOf18   = append(slices.Clip(commonClaims), "entitlement")
	claimsOf17   = append(slices.Clip(commonClaims), "resource", "role")
)

// encodeClaims writes a request as the claims of a token that the service account
// issues to itself. The request must have its Created and Expires.
func encodeClaims(r access.Request, serviceAccount string) ([]byte, error) {
	p := payload{
		Issuer: serviceAccount, Audience: serviceAccount,
		IssuedAt: r.Created.Unix(), Expires: r.Expires.Unix(),
		ID: r.ID, Beneficiary: string(r.Principal), Justification: r.Justification,
		Purpose: purpose, Duration: int64(r.Duration / time.Second),
	}
	for _, reviewer := range r.Reviewers {
		p.Reviewers = append(p.Reviewers, string(reviewer))
	}
	for _, id := range r.Entitlements {
		p.Entitlements = append(p.Entitlements, id.String())
	}
	if len(p.Entitlements) == 1 {
		p.Entitlement, p.Entitlements = p.Entitlements[0], nil
	}
	p.Start = max(p.IssuedAt, r.Start.Unix())
	p.End = p.Start + p.Duration
	if !r.Fixed.IsZero() {
		p.Start, p.End, p.Purpose, p.Duration = r.Fixed.Start.Unix(), r.Fixed.End.Unix(), "", 0
	}
	return json.Marshal(p)
}

// decodeClaims reads the claims of a token that has been verified. It checks
// everything that does not depend on the clock.
func decodeClaims(c jose.Claims, serviceAccount string) (access.Request, error) {
	d := decoder{claims: c}
	if d.text("iss") != serviceAccount || d.text("aud") != serviceAccount {
		return access.Request{}, errors.New("issuer or audience is not our service account")
	}
	r := access.Request{
		ID:            d.text("jti"),
		Kind:          access.Peers,
		State:         access.Pending,
		Principal:     d.principal(d.text("beneficiary")),
		Justification: d.text("justification"),
		Reviewers:     d.reviewers(),
		Created:       d.instant("iat"),
		Expires:       d.instant("exp"),
		Version:       1,
	}
	// Self-activation needs no token, so none is accepted for it.
	if _, err := access.ParseRequestID(r.ID); err != nil || access.KindOfID(r.ID) != access.Peers {
		d.refuse("claim jti is not the id of a request to peers")
	}
	d.keep("justification", access.CheckJustification(r.Justification))
	asked := access.Window{Start: d.instant("start"), End: d.instant("end")}
	life := access.LinkLife
	switch {
	case c.Exactly(claimsOfOne...):
		r.Entitlements = d.entitlements([]string{d.text("entitlement")})
		d.ours(&r, asked)
	case c.Exactly(claimsOfMany...):
		if r.Entitlements = d.entitlements(d.texts("entitlements")); len(r.Entitlements) < 2 {
			d.refuse("claim entitlements has fewer than two")
		}
		d.ours(&r, asked)
	case c.Exactly(claimsOf18...):
		r.Entitlements = d.entitlements([]string{d.text("entitlement")})
		r.Fixed, life = asked, maxSignedLife
	case c.Exactly(claimsOf17...):
		r.Entitlements = d.entitlements([]string{d.roleBinding()})
		r.Fixed, life = asked, maxSignedLife
	default:
		d.refuse("claims are not those of an activation token")
	}
	if said := r.Expires.Sub(r.Created); said <= 0 || said > life {
		d.refuse("exp is not a sane time after iat")
	}
	r.Duration = asked.Length()
	if r.Duration <= 0 || r.Duration > maxDuration || r.Duration%time.Minute != 0 {
		d.refuse("end is not a sane number of minutes after start")
	}
	if d.err != nil {
		return access.Request{}, d.err
	}
	r.Resource = r.Entitlements[0].Resource
	if latest := r.Created.Add(access.LinkLife); r.Expires.After(latest) {
		r.Expires = latest
	}
	return r, nil
}

// decoder reads claims and keeps the first reason to refuse them.
type decoder struct {
	claims jose.Claims
	err    error
}

func (d *decoder) refuse(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

func (d *decoder) keep(claim string, err error) {
	if err != nil {
		d.refuse("claim %s: %w", claim, err)
	}
}

func (d *decoder) text(claim string) string {
	s, err := d.claims.String(claim)
	d.keep(claim, err)
	return s
}

func (d *decoder) texts(claim string) []string {
	list, err := d.claims.Strings(claim)
	d.keep(claim, err)
	return list
}

func (d *decoder) instant(claim string) time.Time {
	n, err := d.claims.Int64(claim)
	d.keep(claim, err)
	if n < 0 || n > maxEpoch {
		d.refuse("claim %s is not a time", claim)
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

func (d *decoder) principal(address string) access.Principal {
	p, err := access.ParsePrincipal(address)
	d.keep("beneficiary", err)
	return p
}

// reviewers may include the beneficiary in what 1.x signed; that nobody decides on
// their own request is the broker's to enforce. A group among them is nobody to 1.x.
func (d *decoder) reviewers() []access.Principal {
	var list []access.Principal
	for _, text := range d.texts("reviewers") {
		p, err := access.ParseReviewer(text)
		d.keep("reviewers", err)
		list = append(list, p)
	}
	if len(list) == 0 {
		d.refuse("claim reviewers is empty")
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (d *decoder) entitlements(list []string) []access.EntitlementID {
	var ids []access.EntitlementID
	for _, item := range list {
		id, err := access.ParseEntitlementID(item)
		d.keep("entitlement", err)
		ids = append(ids, id)
	}
	slices.SortFunc(ids, access.CompareEntitlementIDs)
	if len(slices.Compact(slices.Clone(ids))) != len(ids) {
		d.refuse("an entitlement stands twice")
	}
	if slices.ContainsFunc(ids, func(id access.EntitlementID) bool { return id.Resource != ids[0].Resource }) {
		d.refuse("entitlements of different resources")
	}
	return ids
}

// roleBinding reads the claims that JIT Access 1.7 had in place of entitlement, as
// the text of an entitlement id.
func (d *decoder) roleBinding() string {
	project, ok := strings.CutPrefix(d.text("resource"), access.FullNamePrefix+"projects/")
	if !ok {
		d.refuse("claim resource is not the full name of a project")
	}
	role, err := access.ParseRole(d.text("role"))
	d.keep("role", err)
	return project + ":" + string(role)
}

// ours reads what only our own tokens have, and demands that what they repeat for
// the sake of 1.x agrees.
func (d *decoder) ours(r *access.Request, asked access.Window) {
	if d.text("purpose") != purpose {
		d.refuse("claim purpose is another")
	}
	seconds, err := d.claims.Int64("duration")
	d.keep("duration", err)
	if int64(asked.Length()/time.Second) != seconds {
		d.refuse("claims start, end and duration do not agree")
	}
	if asked.Start.Before(r.Created) {
		d.refuse("claim start is before iat")
	}
	if asked.Start.After(r.Created) {
		r.Start = asked.Start
	}
}
