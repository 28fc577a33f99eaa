package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"virtualcluster.io/virtualcluster/charts"
	"virtualcluster.io/virtualcluster/test/framework/controlplane"
)

func TestOneOff(t *testing.T) {
	super := controlplanetest.Start(t, controlplanetest.Options{Role: controlplanetest.RoleSuper})
	path := filepath.Join(t.TempDir(), "kubeconfig")
	os.WriteFile(path, super.Kubeconfig, 0o600)
	for i, values := range []map[string]any{nil, nil, {"class": map[string]any{"controlPlane": map[string]any{"exposure": map[string]any{"type": "NodePort"}}}}, {"class": map[string]any{"controlPlane": map[string]any{"exposure": map[string]any{"type": "NodePort"}}}}, {"syncer": map[string]any{"replicas": 0}}} {
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		start := time.Now()
		err := installPlatform(ctx, path, values)
		cancel()
		fmt.Println(i, time.Since(start), err)
		config, err := newHelmConfiguration(path)
		if err != nil {
			t.Fatal(err)
		}
		last, err := lastRelease(config)
		fmt.Println("revision", last.Version, last.Info.Status, err)
	}
	_ = charts.Namespace
}
