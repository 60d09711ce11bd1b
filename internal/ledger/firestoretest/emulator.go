// Package firestoretest has what tests of the ledger in Firestore need: Google's emulator.
package firestoretest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"jitaccess/internal/porttest"
)

// where Debian's package google-cloud-cli-firestore-emulator has it.
const where = "/usr/lib/google-cloud-sdk/platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"

var (
	start    sync.Once
	process  *exec.Cmd
	ended    chan struct{}
	endpoint string
	failed   error
	database atomic.Int64
)

// Main runs the tests of a package, ends the emulator after them, and fails where after does.
func Main(m *testing.M, after func() error) {
	code := m.Run()
	Stop()
	if err := after(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Stop ends the emulator, if there is one.
func Stop() {
	if ended != nil {
		_ = process.Process.Kill()
		<-ended
	}
}

// Installed is whether Google's emulator is. Where it is not, the run says NOT RUN.
func Installed(t testing.TB) bool {
	_, err := os.Stat(where)
	if err != nil {
		fmt.Fprintln(os.Stderr, t.Name()+": NOT RUN, the emulator of Firestore is not installed (google-cloud-cli-firestore-emulator, Java 17)")
	}
	return err == nil
}

// Emulator is where Google's emulator of Firestore answers, which all tests of a process share,
// and a database in it that nobody else has. Where it is not installed the test is skipped.
func Emulator(t testing.TB) (address, name string) {
	t.Helper()
	if !Installed(t) {
		t.Skip("NOT RUN: the emulator of Firestore is not installed")
	}
	start.Do(func() { failed = begin(porttest.Free(t)) })
	if failed != nil {
		t.Fatalf("no emulator of Firestore: %v", failed)
	}
	return endpoint, fmt.Sprintf("test-%d", database.Add(1))
}

func begin(port string) (err error) {
	process = exec.Command("java", "-Xmx512m", "-Duser.language=en", "-cp", filepath.Clean(where),
		"com.google.cloud.datastore.emulator.firestore.CloudFirestore", "start", "--host=127.0.0.1", "--port="+port,
		"--database-mode=firestore-native")
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := process.Start(); err != nil {
		return err
	}
	ended = make(chan struct{})
	go func() {
		_ = process.Wait()
		close(ended)
	}()
	endpoint = "http://127.0.0.1:" + port
	for range 3000 { // it has five minutes where the machine is busy
		var answer *http.Response
		if answer, err = http.Get(endpoint); err == nil {
			return answer.Body.Close()
		}
		select {
		case <-ended:
			return fmt.Errorf("it has ended: %v", process.ProcessState)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return err
}
