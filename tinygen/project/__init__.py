"""What a team keeps: tinygen.toml says which models are built for which boards, tinygen.lock what that gave; the check
of today's figures against it, and two builds side by side."""
