"""What is put in place before a process starts: uploads, repositories, files, artifacts."""
