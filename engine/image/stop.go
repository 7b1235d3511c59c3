package image

// StopSignal is the signal by which the OCI image that a SIF was made from wants to be stopped (image-spec config.md,
// "StopSignal"): a name or a number, as it was written; empty where nothing is said.
func (m *Image) StopSignal() string { return m.originalConfig().StopSignal }
