"""Options: the configuration, the command line's parser, and which option needs which."""
