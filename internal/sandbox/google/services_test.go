package google_test

import (
	"context"
	"encoding/base64"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iam/v1"
	"google.golang.org/api/parametermanager/v1"
	"google.golang.org/api/pubsub/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAccessSecret(t *testing.T) {
	f := newFixture(t)
	path := f.AddSecret("smtp", []byte("first\n"))
	f.AddSecret("smtp", []byte("second"))
	client, err := secretmanager.NewRESTClient(t.Context(), f.service()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	access := func(name string) (*secretmanagerpb.AccessSecretVersionResponse, error) {
		return client.AccessSecretVersion(context.Background(), &secretmanagerpb.AccessSecretVersionRequest{Name: name})
	}
	for name, want := range map[string]string{
		path: "first\n", "projects/example-jitaccess/secrets/smtp/versions/2": "second",
		"projects/264853019977/secrets/smtp/versions/latest": "second",
	} {
		got, err := access(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		crc := int64(crc32.Checksum([]byte(want), crc32.MakeTable(crc32.Castagnoli)))
		if string(got.Payload.Data) != want || got.Payload.GetDataCrc32C() != crc || !strings.HasPrefix(got.Name, "projects/264853019977/secrets/smtp/versions/") {
			t.Errorf("%s: %v", name, got)
		}
	}
	for name, code := range map[string]codes.Code{
		"projects/example-jitaccess/secrets/smtp/versions/3":     codes.NotFound,
		"projects/example-jitaccess/secrets/smtp/versions/x":     codes.InvalidArgument,
		"projects/example-jitaccess/secrets/other/versions/1":    codes.PermissionDenied,
		"projects/shop-orders-prod/secrets/smtp/versions/latest": codes.PermissionDenied,
	} {
		if _, err := access(name); status.Code(err) != code {
			t.Errorf("%s: %v, want %v", name, err, code)
		}
	}
	f.Faults().RevokePermission("secretmanager.versions.access")
	if _, err := access(path); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "secretmanager.versions.access") {
		t.Errorf("revoked: %v", err)
	}
}

func TestPublish(t *testing.T) {
	f := newFixture(t)
	s, err := pubsub.NewService(t.Context(), f.service()...)
	if err != nil {
		t.Fatal(err)
	}
	const topic = "projects/example-jitaccess/topics/jitaccess-notifications"
	data := base64.StdEncoding.EncodeToString([]byte("hello"))
	publish := func(topic string, messages ...*pubsub.PubsubMessage) (*pubsub.PublishResponse, error) {
		return s.Projects.Topics.Publish(topic, &pubsub.PublishRequest{Messages: messages}).Do()
	}
	answer, err := publish(topic, &pubsub.PubsubMessage{Data: data, Attributes: map[string]string{"a": "b"}}, &pubsub.PubsubMessage{Data: data})
	if err != nil || len(answer.MessageIds) != 2 {
		t.Fatalf("%v, %v", answer, err)
	}
	if got := f.Published(topic); len(got) != 2 || string(got[0].Data) != "hello" || got[0].Attributes["a"] != "b" {
		t.Errorf("%v", got)
	}
	_, err = publish(topic)
	refused(t, err, 400, "message_count is too small")
	_, err = publish(topic, &pubsub.PubsubMessage{})
	refused(t, err, 400, "is empty")
	_, err = publish("projects/example-jitaccess/topics/other", &pubsub.PubsubMessage{Data: data})
	refused(t, err, 403, "not authorized")
	_, err = publish("projects/shop-build/topics/other", &pubsub.PubsubMessage{Data: data})
	refused(t, err, 403, "not authorized")
}

func TestTestIamPermissionsOfTopics(t *testing.T) {
	f := newFixture(t)
	const topic, missing = "projects/example-jitaccess/topics/jitaccess-notifications", "projects/example-jitaccess/topics/other"
	held := func(topic string, permissions ...string) (string, error) {
		s, err := pubsub.NewService(t.Context(), f.service()...)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := s.Projects.Topics.TestIamPermissions(topic, &pubsub.TestIamPermissionsRequest{Permissions: permissions}).Do()
		if err != nil {
			return "", err
		}
		return strings.Join(answer.Permissions, " "), nil
	}
	if got, err := held(topic, "pubsub.topics.delete", "pubsub.topics.publish"); got != "pubsub.topics.publish" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := held(missing, "pubsub.topics.publish"); got != "" || err != nil {
		t.Errorf("a topic that does not exist: %q, %v", got, err)
	}
	_, err := held(topic, "pubsub.*")
	refused(t, err, 400, "not valid")
	f.Faults().RevokePermission("pubsub.topics.publish")
	if got, err := held(topic, "pubsub.topics.publish"); got != "" || err != nil {
		t.Errorf("revoked: %q, %v", got, err)
	}
}

func TestRoles(t *testing.T) {
	f := newFixture(t)
	s, err := iam.NewService(t.Context(), f.service()...)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.Roles.Get("roles/compute.admin").Do(); err != nil || r.Title != "Compute Admin" || len(r.IncludedPermissions) == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := s.Organizations.Roles.Get("organizations/482093157016/roles/incidentResponder").Do(); err != nil || r.Title != "Incident Responder" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := s.Projects.Roles.Get("projects/shop-payments-prod/roles/ledgerRepair").Do(); err != nil || r.Title != "Ledger Repair" {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = s.Roles.Get("roles/nothing").Do()
	refused(t, err, 404, "roles/nothing was not found")
	_, err = s.Projects.Roles.Get("projects/nothing/roles/x").Do()
	refused(t, err, 403, "permission")

	count := map[string]int{}
	for _, name := range []string{orders, "projects/shop-payments-prod", f.OrganizationID()} {
		request := &iam.QueryGrantableRolesRequest{FullResourceName: resourceManagerHost + name, PageSize: 10}
		err := s.Roles.QueryGrantableRoles(request).Pages(t.Context(), func(p *iam.QueryGrantableRolesResponse) error {
			count[name] += len(p.Roles)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if count["projects/shop-payments-prod"] != count[orders]+1 || count[f.OrganizationID()] != count[orders]+4 {
		t.Errorf("grantable: %v", count)
	}
	_, err = s.Roles.QueryGrantableRoles(&iam.QueryGrantableRolesRequest{FullResourceName: "projects/x"}).Do()
	refused(t, err, 400, "Invalid or nonexistent resource")
}

func TestGetParameterVersion(t *testing.T) {
	f := newFixture(t)
	path := f.AddParameter("policy", "v1", []byte("version: 1\n"))
	client, err := parametermanager.NewService(t.Context(), f.service()...)
	if err != nil {
		t.Fatal(err)
	}
	get := client.Projects.Locations.Parameters.Versions.Get
	got, err := get(path).Do()
	if err != nil || got.Payload.Data != base64.StdEncoding.EncodeToString([]byte("version: 1\n")) ||
		got.Payload.DataCrc32c != int64(crc32.Checksum([]byte("version: 1\n"), crc32.MakeTable(crc32.Castagnoli))) {
		t.Fatalf("%+v %v", got, err)
	}
	for name, want := range map[string]int{
		strings.Replace(path, "v1", "v2", 1):         404,
		strings.Replace(path, "policy", "other", 1):  403,
		strings.Replace(path, "global", "europe", 1): 403,
	} {
		_, err := get(name).Do()
		if e, ok := errors.AsType[*googleapi.Error](err); !ok || e.Code != want {
			t.Errorf("%s: %v, want %d", name, err, want)
		}
	}
	f.Faults().RevokePermission("parametermanager.parameterVersions.get")
	if _, err := get(path).Do(); err == nil || !strings.Contains(err.Error(), "parametermanager.parameterVersions.get") {
		t.Errorf("revoked: %v", err)
	}
}
