package server

import (
	"net/http"
	"strings"

	"jitaccess/internal/lazyregexp"
)

// Platform is what is known of where the service runs, to judge whether the host
// that a request names is certainly ours. Whoever sends a request writes its Host
// header, and links in mails are made of it; so a host counts only when it cannot
// lead to anybody else. The zero value trusts no host.
type Platform struct {
	// AppEngine: the default hosts of Service in project ProjectID are ours.
	AppEngine bool
	// CloudRun: the default host of Service in Region, of project ProjectNumber,
	// is ours.
	CloudRun                                  bool
	ProjectID, ProjectNumber, Region, Service string
}

// hostLabel is what project ids and service names look like in a host name.
var hostLabel = lazyregexp.New(`^[a-z0-9-]{1,63}$`)

// origin is the scheme and host for links, or "" when none can be trusted.
// X-Forwarded-* headers are never read.
func (s *server) origin(r *http.Request) string {
	if s.PublicURL != "" {
		return s.PublicURL
	}
	return s.Platform.Origin(r.Host)
}

// Origin is the scheme and host for links when a request names host, or "" when that
// is not certainly ours.
func (p Platform) Origin(host string) string {
	name := strings.TrimSuffix(strings.ToLower(host), ":443") // which may be spelled out
	if label := p.appEngineLabel(); p.AppEngine && hostLabel().MatchString(p.ProjectID) && hostLabel().MatchString(label) {
		// LABEL.appspot.com, and LABEL.REGION_ID.r.appspot.com.
		rest, ok := strings.CutPrefix(name, label+".")
		region, regional := strings.CutSuffix(rest, ".r.appspot.com")
		if ok && (rest == "appspot.com" || regional && hostLabel().MatchString(region)) {
			return "https://" + name
		}
	}
	if p.CloudRun && p.Service != "" && p.ProjectNumber != "" && p.Region != "" &&
		name == p.Service+"-"+p.ProjectNumber+"."+p.Region+".run.app" {
		return "https://" + name
	}
	return ""
}

// appEngineLabel is what the host of a service begins with. Only the default
// service's is the project alone; that of another leads to the default one, or to
// whichever service the application's dispatch rules say.
// https://cloud.google.com/appengine/docs/standard/how-requests-are-routed
func (p Platform) appEngineLabel() string {
	if p.Service == "" || p.Service == "default" {
		return p.ProjectID
	}
	return p.Service + "-dot-" + p.ProjectID
}
